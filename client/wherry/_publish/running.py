"""Runs an app: it is opened, gets its functions, and is stopped again."""

import os
import threading
from typing import TYPE_CHECKING

from wherry._connection.client import default_client
from wherry._publish.apps import tell_of_schedules, warn_of
from wherry._publish.opening import opened
from wherry._publish.preparing import prepared
from wherry._publish.published import Published
from wherry._screen.plain import Cells
from wherry._screen.unasked import Unasked, in_notebook
from wherry.context import GUARD, check_local
from wherry_proto.messages import AppPublishRequest, AppPublishResponse, AppStopRequest, AppStopResponse

if TYPE_CHECKING:
    from wherry._connection.client import Client
    from wherry._define.plan import Plan


class Running:
    """An app that runs."""

    def __init__(self, client: "Client", app_id: str, detach: bool, name: str | None) -> None:
        self.client = client
        self.app_id = app_id
        # What it is called instead of what its code says.
        self.name = name
        # Held while it is given other functions.
        self.publishing = threading.Lock()
        self._detach = detach
        self._pid = os.getpid()

    def stop(self) -> None:
        """Stop the app, unless it is detached."""
        if self._detach or os.getpid() != self._pid:
            return  # in a forked child: the app is its parent's
        # A service that is away stops it by itself: it knows which client is gone.
        answer = self.client.tell("Apps.Stop", AppStopRequest(app_id=self.app_id))
        if isinstance(answer, AppStopResponse):
            warn_of(answer.left_over)


def start(
    plan: "Plan", client: "Client | None", detach: bool, environment: str | None, name: str | None = None
) -> tuple[Running, Published]:
    """Bring the app up, under its own name or another. What any step raises, stops it."""
    check_local("running an app", GUARD)
    client = client or default_client()
    environment = environment or client.environment
    if type(client.listener.screen) is Unasked and in_notebook():
        client.listener.screen = Cells()
    with opened(plan, client, environment, name, detach=detach) as info:
        client.listener.screen.begin(f"App {info.name} ({info.app_id})")
        published = publish(plan, client, info.app_id, environment, name)
        if scheduled := [one.name for one in plan.definitions if one.options.schedule is not None]:
            tell_of_schedules(scheduled)
    return Running(client, info.app_id, detach, name), published


def publish(plan: "Plan", client: "Client", app_id: str, environment: str, name: str | None = None) -> Published:
    """Give a running app, called so instead of what its code says, its functions as they are defined here."""
    ready = prepared(plan, client, app_id, environment, name=name)
    request = AppPublishRequest(app_id=app_id, functions=ready.specs)
    infos = client.call("Apps.Publish", request, AppPublishResponse).functions
    published = Published(client, environment, ready, infos)
    published.announce(plan)
    return published
