"""The pages, one module each."""

from wherry_service.ui.page import Action, Feed, Page
from wherry_service.ui.pages import home, shell

PAGES: tuple[Page, ...] = (home.PAGE, *shell.PAGES)
FEEDS: tuple[Feed, ...] = ()
ACTIONS: tuple[Action, ...] = ()
