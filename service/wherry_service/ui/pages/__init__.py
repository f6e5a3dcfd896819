"""The pages, one module each."""

from wherry_service.ui.page import Action, Feed, Page
from wherry_service.ui.pages import home, images, resources, sandboxes, schedules, series, shell, team, volumes

PAGES: tuple[Page, ...] = (
    home.PAGE, *images.PAGES, *resources.PAGES, *sandboxes.PAGES, *schedules.PAGES, *shell.PAGES, *team.PAGES,
    *volumes.PAGES,
)  # fmt: skip
FEEDS: tuple[Feed, ...] = (*series.FEEDS, *volumes.FEEDS)
ACTIONS: tuple[Action, ...] = (*sandboxes.ACTIONS, *schedules.ACTIONS, *team.ACTIONS)
