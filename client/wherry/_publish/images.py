"""Has the service build images that are not built yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from wherry._base.words import counted
from wherry._publish.image_files import OWN_PYTHON, resolve
from wherry._publish.resolver import Resolver, Want
from wherry._publish.shipping import send
from wherry.context import is_local
from wherry.exception import ConnectionError, ImageBuildError, InvalidError
from wherry_proto.messages import ImageEnsureRequest, ImageEvent, ImageName, ImagePublishRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry._connection.client import Client
    from wherry._define.recipe import Recipe
    from wherry._screen.output import Build


# Functions that are named as those that want an image.
_MOST_NAMED = 3


class Built(Want[str]):
    """An image, built where it is not yet: its id. A bare one needs no Python. Equal images are one."""

    STAGE = 1

    __slots__ = ("bare", "recipe", "wanted_by")

    def __init__(self, recipe: Recipe, bare: bool, wanted_by: Sequence[str] = ()) -> None:
        super().__init__(recipe, bare)
        self.recipe = recipe
        self.bare = bare
        # The functions that want it.
        self.wanted_by = wanted_by

    @classmethod
    def bring_up_all(cls, resolver: Resolver, wants: Sequence[Built]) -> list[str]:
        return _ids(resolver.for_builds(), wants)


def ensure_images(client: Client, images: Sequence[Recipe], *, environment: str = "", bare: bool = False) -> list[str]:
    """Build what is not built; return the image ids, in the order of `images`. Raises ImageBuildError.

    They become the environment's, whose secrets and volumes the builds use; without one, the client's.
    """
    ids = Resolver(client, environment=environment).all_of([Built(image, bare) for image in images])
    for image, image_id in zip(images, ids, strict=True):
        image.became(image_id)
    return ids


def publish(client: Client, image: Recipe, name: str) -> ImageName:
    """Give an image, which is built where it is not, a name: "[ENVIRONMENT/]NAME[:TAG]"."""
    environment, slash, rest = name.partition("/")
    if not slash:
        environment, rest = client.environment, name
    (image_id,) = ensure_images(client, [image], environment=environment, bare=True)
    request = ImagePublishRequest(name=rest, environment=environment, image_id=image_id)
    made = client.call("Images.Publish", request, ImageName)
    client.listener.screen.step(f"Published {made.image_id} as {made.name} in environment {made.environment}")
    return made


def _ids(resolver: Resolver, wants: Sequence[Built]) -> list[str]:
    client, distinct, bare = resolver.client, [want.recipe for want in wants], any(want.bare for want in wants)
    # Inside a container nothing is built, only named: the service sends and reads nothing for that.
    resolved = [resolve(image, resolver if is_local() else None, names=resolver) for image in distinct]
    if is_local():
        send(client, [file for one in resolved for file in one.files], as_read=True)
    request = ImageEnsureRequest(
        images=[one.definition for one in resolved], environment=resolver.environment, bare=bare
    )
    ids: dict[int, str] = {}
    builds: dict[int, Build] = {}
    screen = client.listener.screen

    def begun(index: int) -> Build:
        return screen.build(repr(distinct[index]), _named(wants[index].wanted_by), len(distinct) > 1)

    asking = screen.waiting(f"The service looks for {counted(len(distinct), 'image')}")
    try:
        for message in client.stream("Images.Ensure", request, repeat=True):
            asking.end()
            event = cast("ImageEvent", message)
            if event.index not in builds and (event.log or event.reason or event.step is not None):
                builds[event.index] = begun(event.index)
            if event.log:
                builds[event.index].line(event.log)
            if event.reason:
                builds[event.index].because(event.reason)
            if event.step is not None:
                builds[event.index].layer(event.step)
            if event.step_count and event.index in builds:
                builds[event.index].at(event.step_number, event.step_count)
            if event.engine_away:
                # Nothing is wrong with the image.
                raise ConnectionError(f"nothing can be built or run: {event.error}")
            if event.error:
                which = f"{distinct[event.index]!r}" + (f" ({event.image_id})" if event.image_id else "")
                raise ImageBuildError(f"{which} could not be built: {event.error}")
            if event.image_id:
                ids[event.index] = event.image_id
                client.pythons[event.image_id] = event.python
                _note_python(client, distinct[event.index], event.python)
                if event.built:
                    build = builds.get(event.index) or begun(event.index)
                    build.end(event.image_id, event.seconds)
    finally:
        asking.end()
        for build in builds.values():
            build.abandon()
    if len(ids) < len(distinct):
        raise ImageBuildError("the service ended the build without saying how it went; see its log")
    return [ids[index] for index in range(len(distinct))]


def _named(names: Sequence[str]) -> str:
    """Return "a, b, c and 4 more"."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def check_python(client: Client, name: str, image_id: str) -> None:
    """Raise InvalidError where a function that is sent as byte code has an image with another Python."""
    python = client.pythons.get(image_id)
    if python and python != OWN_PYTHON:
        raise InvalidError(
            f"{name} is sent as byte code of Python {OWN_PYTHON}, and its image has Python {python}, which can't run "
            f'that: give it an image with the same, such as Image.debian_slim("{OWN_PYTHON}"), run your program with '
            f"Python {python}, or define it at the top level of a module, without serialized=True"
        )


def _note_python(client: Client, image: Recipe, python: str) -> None:
    """Say once that a `debian_slim` that names no Python has another than this program."""
    first = image.steps[0]
    is_open = first.kind == "debian_slim" and "python_version" not in dict(first.options)
    if not is_open or not python or python == OWN_PYTHON or not is_local() or client.has_told_python:
        return
    client.has_told_python = True
    import warnings  # noqa: PLC0415 - start-up cost: only where there is something to say

    warnings.warn(
        f"Image.debian_slim() has Python {python}: this program's, {OWN_PYTHON}, can't be had for it on this service; "
        f'Image.debian_slim("{python}") says the same without this notice, and the setting images.python gives others',
        UserWarning,
        stacklevel=2,
    )
