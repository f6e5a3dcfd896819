"""The pages, one module each."""

from wherry_service.ui.page import Action, Feed, Follow, Page
from wherry_service.ui.pages import (
    app,
    apps,
    call,
    calls,
    container,
    containers,
    function,
    home,
    images,
    logs,
    resources,
    sandboxes,
    schedules,
    series,
    shell,
    team,
    volumes,
)

PAGES: tuple[Page, ...] = (
    home.PAGE, apps.PAGE, app.PAGE, function.PAGE, calls.PAGE, call.PAGE, containers.PAGE, container.PAGE, logs.PAGE,
    *images.PAGES, *resources.PAGES, *sandboxes.PAGES, *schedules.PAGES, *shell.PAGES, *team.PAGES, *volumes.PAGES,
)  # fmt: skip
FEEDS: tuple[Feed, ...] = (containers.FEED, *series.FEEDS, *volumes.FEEDS)
FOLLOWS: tuple[Follow, ...] = logs.FOLLOWS
ACTIONS: tuple[Action, ...] = (
    *app.ACTIONS, *call.ACTIONS, *container.ACTIONS, *sandboxes.ACTIONS, *schedules.ACTIONS, *team.ACTIONS,
)  # fmt: skip
