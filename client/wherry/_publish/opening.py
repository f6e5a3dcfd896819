"""Opens apps, which have no functions yet; one that comes to nothing is stopped."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from wherry._base.code import importable_name
from wherry._define.names import run_name
from wherry._publish.needs import modules_of
from wherry_proto.messages import AppInfo, AppOpenRequest, AppSetTagsRequest, AppStopRequest, Notice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry._connection.client import Client
    from wherry._define.plan import Plan


# What is shown at once when Ctrl-C has been pressed: containers may take some seconds to end.
STOPPING = "Stopping (again Ctrl-C: at once) …"


@contextmanager
def opened(
    plan: Plan,
    client: Client,
    environment: str,
    name: str | None = None,
    *,
    owner_id: str = "",
    detach: bool = False,
    deploys: bool = False,
) -> Iterator[AppInfo]:
    """Have the app open, under its own name or another. What fails within stops it, unless a version of it serves.

    It ends with the client `owner_id`, by default this one, unless it is detached, or deployed by then.
    """
    modules = modules_of(plan.definitions)
    if not owner_id:
        _ = client.session  # connected first: the service ties the app to it
        owner_id = client.client_id
    written = name or plan.name
    written = written or next((importable_name(module.__name__).rpartition(".")[2] for module in modules), "app")
    name = run_name(written)
    if name != written and not deploys:
        text = f"the app's name is {written!r}: it runs as {name!r}, and can't be deployed under a name with '/', '::' "
        text += "or line breaks, or with more than 64 characters"
        client.listener.screen.notice(Notice(text=text))
    request = AppOpenRequest(name=name, environment=environment, client_id=owner_id, detach=detach, deploy=deploys)
    info = client.call("Apps.Open", request, AppInfo)
    try:
        if plan.tags and info.tags != plan.tags:
            client.call("Apps.SetTags", AppSetTagsRequest(app_id=info.app_id, tags=dict(plan.tags)), AppInfo)
        yield info
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not deploys:
            client.listener.screen.notice(Notice(text=STOPPING))
        if not info.version:
            client.tell("Apps.Stop", AppStopRequest(app_id=info.app_id))
        raise
