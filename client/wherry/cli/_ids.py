"""Ids as tables on a terminal show them: cut to what tells them apart. Commands take what is left."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from wherry._base.misuse import near
from wherry._connection.client import default_client
from wherry.cli._find import functions_in, list_of_apps, list_of_sandboxes, running_containers
from wherry.exception import InvalidError, NotFoundError
from wherry_proto.messages import (
    AppShowRequest,
    AppShowResponse,
    ImageListRequest,
    ImageListResponse,
    TokenListRequest,
    TokenListResponse,
)

# Of a whole id, behind its kind.
_DIGITS = 26
# Of those, what commands need that end something without asking. Tables show as many at least.
_TO_END = 8
# Candidates that an error lists.
_LISTED = 10


class _Kind(NamedTuple):
    # What it is, what shows its ids, and these.
    what: str
    shown_by: str
    # Of an environment. A list of what runs cuts ids without regard to what has ended: that comes after.
    ids: tuple[Callable[[str | None], Iterator[str]], ...]


def whole(given: str, environment: str | None = None, *, prefix: str, ends: bool = False) -> str:
    """Return the one id of a kind (`prefix`: "ap") that begins so, of those of an environment; all else as it is.

    Raises NotFoundError where there is none, and InvalidError, with the candidates, where there are several. `ends`:
    what it is of is ended unasked, so a few digits, which may be a slip, are an InvalidError.
    """
    found_prefix, dash, digits = given.partition("-")
    if found_prefix != prefix or not dash or len(digits) >= _DIGITS:
        return given
    kind = _KINDS[prefix]
    if ends and digits and len(digits) < _TO_END:
        raise InvalidError(
            f"{given} is too short for a command that asks nothing: give at least {_TO_END} characters behind "
            f"{prefix}-; {kind.shown_by}"
        )
    found: list[str] = []
    for ids in kind.ids if digits else ():
        found = found or sorted({one for one in ids(environment) if one.casefold().startswith(given.casefold())})
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFoundError(f"no {kind.what} has an id that begins with {given}; {kind.shown_by}")
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    raise InvalidError(
        f"{len(found)} {kind.what}s have ids that begin with {given}: give more of it. "
        f"There are {', '.join(found[:_LISTED])}{more}"
    )


def is_whole(given: str, prefix: str) -> bool:
    """Whether it is a whole id of that kind."""
    return given.startswith(f"{prefix}-") and len(given) >= len(prefix) + 1 + _DIGITS


def running_app(app: str, environment: str | None) -> str:
    """Return the id of a running app, by its id, what is left of it, or its name; raise NotFoundError."""
    client = default_client()
    request = AppShowRequest(app_name=app, environment=environment or client.environment)
    if app.startswith("ap-"):
        request = AppShowRequest(app_id=whole(app, environment, prefix="ap"))
    shown = client.call("Apps.Show", request, AppShowResponse).app
    assert shown is not None
    return shown.app_id


def any_app(app: str, environment: str | None) -> str:
    """Return the id of the newest app of that name, running or not; or as `running_app`."""
    if app.startswith("ap-"):
        return whole(app, environment, prefix="ap")
    apps = list_of_apps(environment, True)
    found = next((one.app_id for one in apps if one.name == app), None)
    if found is None:
        raise NotFoundError(f"there is no app {app!r}{near(app, [one.name for one in apps])}")
    return found


def _running_apps(environment: str | None) -> Iterator[str]:
    return (app.app_id for app in list_of_apps(environment, False))


def _apps(environment: str | None) -> Iterator[str]:
    return (app.app_id for app in list_of_apps(environment, True))


def _containers(environment: str | None) -> Iterator[str]:
    return (info.container_id for info in running_containers(environment))


def _running_sandboxes(environment: str | None) -> Iterator[str]:
    return (info.sandbox_id for info in list_of_sandboxes(environment, False))


def _sandboxes(environment: str | None) -> Iterator[str]:
    return (info.sandbox_id for info in list_of_sandboxes(environment, True))


def _functions(environment: str | None) -> Iterator[str]:
    return (status.function.function_id for status in functions_in(environment) if status.function is not None)


def _images(environment: str | None) -> Iterator[str]:
    images = default_client().call("Images.List", ImageListRequest(), ImageListResponse).images
    return (image.image_id for image in images)


def _tokens(environment: str | None) -> Iterator[str]:
    request = TokenListRequest(include_revoked=True)
    return (token.token_id for token in default_client().call("Tokens.List", request, TokenListResponse).tokens)


_KINDS = {
    "ap": _Kind("app", "`wherry app list --all` shows them", (_running_apps, _apps)),
    "co": _Kind(
        "running container", "`wherry container list` shows them; of one that is gone give the whole id", (_containers,)
    ),
    "fu": _Kind("function", "`wherry function list` shows those of running apps", (_functions,)),
    "im": _Kind("image", "`wherry image list` shows them", (_images,)),
    "sb": _Kind("sandbox", "`wherry sandbox list --all` shows them", (_running_sandboxes, _sandboxes)),
    "tk": _Kind("token", "`wherry token list --all` shows them", (_tokens,)),
}
