"""What a sandbox has of the app that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wherry._calling.owner import owner_of
from wherry._define.recipe import Recipe, checked_recipe
from wherry.context import is_local
from wherry.exception import ExecutionError
from wherry.image import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry._calling.owner import AppLike
    from wherry._connection.client import Client
    from wherry.secret import Secret


class Origin(NamedTuple):
    """Whose a sandbox is, and what it has by that; `image` is the sandbox's own where it names one."""

    image: Recipe
    # "": it belongs to none, or to the app of the container that asks, which the service knows.
    app_id: str = ""
    # Where the app runs; "": nowhere that is known here.
    environment: str = ""
    # Who runs it, if that is known.
    client: Client | None = None
    secrets: Sequence[Secret] = ()


def origin_of(app: AppLike | None, image: Recipe | None) -> Origin:
    """Return what `app=` and `image=` mean; raise ExecutionError for an app that does not run, InvalidError."""
    image = checked_recipe(image)
    if app is None:
        return Origin(image or Image.debian_slim())
    owner = owner_of(app)
    if owner is None or (owner.app_id is None and is_local()):
        raise ExecutionError(
            f"{app!r} is not running: create its sandboxes within `with app.run():` or under `wherry run`, "
            "or leave out app="
        )
    plan = owner.plan()
    # In a container it is the container's own app's, whichever is named.
    app_id = owner.app_id if is_local() else None
    return Origin(image or plan.image, app_id or "", plan.environment, owner.client, plan.secrets)


def apart(secrets: Sequence[Secret]) -> tuple[list[Secret], dict[str, str]]:
    """Return the secrets that the service has or stores, and the variables of those made inside a container."""
    variables: dict[str, str] = {}
    for secret in secrets:
        variables.update(secret.unsent or {})
    return [secret for secret in secrets if secret.unsent is None], variables
