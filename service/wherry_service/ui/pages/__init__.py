"""The pages, one module each."""

from wherry_service.ui.page import Action, Feed, Page
from wherry_service.ui.pages import home

PAGES: tuple[Page, ...] = (home.PAGE,)
FEEDS: tuple[Feed, ...] = ()
ACTIONS: tuple[Action, ...] = ()
