"""Has the service build images that are not built yet."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from wherry._publish.image_files import resolve
from wherry._publish.shipping import send
from wherry.context import is_local
from wherry.exception import ImageBuildError
from wherry_proto.messages import ImageEnsureRequest, ImageEvent

if TYPE_CHECKING:
    from wherry._connection.client import Client
    from wherry._define.recipe import Recipe
    from wherry._screen.output import Build


def ensure_images(
    client: "Client", images: "Sequence[Recipe]", *, environment: str = "", bare: bool = False
) -> list[str]:
    """Build what is not built; return the image ids, in the order of `images`. Raises ImageBuildError.

    They become the environment's, whose secrets and volumes the builds use; without one, the client's.
    """
    environment = environment or client.environment
    distinct = list(dict.fromkeys(images))
    if not distinct:
        return []
    # Inside a container nothing is built, only named: the service sends and reads nothing for that.
    resolved = [resolve(image, client if is_local() else None, environment) for image in distinct]
    if is_local():
        send(client, [file for one in resolved for file in one.files], as_read=True)
    request = ImageEnsureRequest(images=[one.definition for one in resolved], environment=environment, bare=bare)
    ids: dict[int, str] = {}
    builds: dict[int, Build] = {}
    screen = client.listener.screen
    try:
        for message in client.stream("Images.Ensure", request, repeat=True):
            event = cast("ImageEvent", message)
            if event.index not in builds and (event.log or event.reason or event.step is not None):
                builds[event.index] = screen.build(repr(distinct[event.index]))
            if event.log:
                builds[event.index].line(event.log)
            if event.reason:
                builds[event.index].because(event.reason)
            if event.step is not None:
                builds[event.index].layer(event.step)
            if event.error:
                which = f"{distinct[event.index]!r}" + (f" ({event.image_id})" if event.image_id else "")
                raise ImageBuildError(f"{which} could not be built: {event.error}")
            if event.image_id:
                ids[event.index] = event.image_id
                if event.built:
                    build = builds.get(event.index) or screen.build(repr(distinct[event.index]))
                    build.end(event.image_id, event.seconds)
    finally:
        for build in builds.values():
            build.abandon()
    if len(ids) < len(distinct):
        raise ImageBuildError("the service ended the build without saying how it went; see its log")
    by_image = {image: ids[index] for index, image in enumerate(distinct)}
    for image in images:
        image.became(by_image[image])
    return [by_image[image] for image in images]
