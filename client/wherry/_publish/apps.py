"""What can be done to an app that runs, by its id."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wherry_proto.messages import (
    AppInfo,
    AppSetTagsRequest,
    AppShowRequest,
    AppShowResponse,
    AppStopRequest,
    AppStopResponse,
)

if TYPE_CHECKING:
    from wherry._connection.client import Client

log = logging.getLogger("wherry")


def stop(client: "Client", app_id: str) -> None:
    """Stop it with its containers and sandboxes."""
    warn_of(client.call("Apps.Stop", AppStopRequest(app_id=app_id), AppStopResponse).left_over)


def set_tags(client: "Client", app_id: str, tags: dict[str, str]) -> None:
    """Give it these tags in the place of those it has."""
    client.call("Apps.SetTags", AppSetTagsRequest(app_id=app_id, tags=tags), AppInfo)


def tags_of(client: "Client", app_id: str) -> dict[str, str]:
    """Return its tags."""
    found = client.call("Apps.Show", AppShowRequest(app_id=app_id), AppShowResponse).app
    return dict(found.tags) if found is not None else {}


def warn_of(left_over: Sequence[str]) -> None:
    """Name the containers of a stopped app that may still exist."""
    if left_over:
        log.warning(
            "wherry: the engine did not answer, so %s may still be there; removed when it does", ", ".join(left_over)
        )


def tell_of_schedules(names: Sequence[str]) -> None:
    """Say that functions with a schedule do not run by themselves in an app that only runs."""
    log.warning(
        "wherry: %s: the schedule begins when the app is deployed, by `wherry deploy` or app.deploy(); until then, "
        "call the function to try it",
        ", ".join(names),
    )
