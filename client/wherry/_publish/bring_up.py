"""Brings up what containers need: all of it is handed to one resolver, which goes stage by stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry._publish.images import Built
from wherry._publish.needs import make_ready
from wherry._publish.resolver import Resolver
from wherry._publish.volumes import OwnObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from wherry._connection.client import Client
    from wherry._define.recipe import Recipe
    from wherry._objects.shared import SharedObject
    from wherry._publish.needs import Needs, Ready
    from wherry._publish.shipping import Shipped
    from wherry._publish.source import SourceFile


class BroughtUp:
    """What is ready, in the order in which it was wanted, and the source that was sent for all of it."""

    __slots__ = ("files", "ready", "root")

    def __init__(self, ready: list[Ready], shipped: Sequence[Shipped]) -> None:
        self.ready = ready
        self.files: list[SourceFile] = list({file.path: file for one in shipped for file in one.files}.values())
        # The directory that the source is below, here; None: there is none.
        self.root: Path | None = next((one.root for one in shipped if one.root), None)


def bring_up(
    client: Client,
    wanted: Sequence[Needs],
    *,
    app_id: str = "",
    environment: str = "",
    built: Mapping[Recipe, str] | None = None,
    bare: bool = False,
    objects: Iterable[SharedObject] = (),
    creates: bool = True,
) -> BroughtUp:
    """Build, send, make and look for all that is wanted, each once; return what the service is to be told of it.

    Names without an environment mean the one given (without one: the client's); those of an app's, the app's. `built`
    are ids of images that are not to be built; `bare` ones need no Python. `objects` are the app's own. Without
    `creates` no volume or object is made: one that would be has an id that none has. Raises ImageBuildError,
    InvalidError for files that can't be sent, NotFoundError.
    """
    built = built or {}
    names: dict[Recipe, dict[str, None]] = {}
    for needs in wanted:
        if needs.image is not None:
            names.setdefault(needs.image, {}).update({needs.wanted_by: None} if needs.wanted_by else {})
    images = [
        [Built(needs.image, bare, tuple(names[needs.image]))] if needs.image is not None else [] for needs in wanted
    ]
    resolver = Resolver(client, app_id=app_id, environment=environment, creates=creates)
    for recipe, image_id in built.items():
        resolver.note(Built(recipe, bare), image_id)
    resolver.resolve(
        [
            *(want for row in images for want in row),
            *map(OwnObject, objects),
            *(want for needs in wanted for want in needs.wants()),
        ]
    )
    ready = make_ready(resolver, wanted)
    for needs, image, one in zip(wanted, images, ready, strict=True):
        one.image_id = "".join(resolver.all_of(image))
        if needs.image is not None and needs.image not in built:
            needs.image.became(one.image_id)
    return BroughtUp(ready, [shipped for needs in wanted for shipped in resolver.all_of(needs.source)])
