"""Brings up what containers need: images first, then all the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry._publish.images import ensure_images
from wherry._publish.needs import BroughtUp, make_ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wherry._connection.client import Client
    from wherry._objects.shared import SharedObject
    from wherry._publish.needs import Needs


def bring_up(
    client: Client,
    wanted: Sequence[Needs],
    *,
    app_id: str = "",
    environment: str = "",
    image_ids: Sequence[str] | None = None,
    bare: bool = False,
    objects: Iterable[SharedObject] = (),
    creates: bool = True,
) -> BroughtUp:
    """Build, send, make and look for all that is wanted, each once; return what the service is to be told of it.

    Images are not built where their ids are given; `bare` ones need no Python. The rest is as for `make_ready`. Raises
    ImageBuildError, InvalidError for files that can't be sent, NotFoundError.
    """
    if image_ids is None:
        images = [needs.image for needs in wanted if needs.image is not None]
        built = iter(ensure_images(client, images, environment=environment, bare=bare))
        image_ids = [next(built) if needs.image is not None else "" for needs in wanted]
    return make_ready(
        client, wanted, image_ids, app_id=app_id, environment=environment, objects=objects, creates=creates
    )
