"""Has the service build images that are not built yet."""

from typing import TYPE_CHECKING, cast

from wherry.exception import ImageBuildError
from wherry.image import Image
from wherry_proto.messages import ImageEnsureRequest, ImageEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry._client import Client


def ensure_images(client: "Client", wanted: "Sequence[Image | None]", without_runner: bool = False) -> list[str]:
    """Build what is not built; return the image ids, in the order of `wanted`.

    `without_runner`: for sandboxes, whose images need no Python.
    """
    images = [image or Image.debian_slim() for image in wanted]
    distinct = list(dict.fromkeys(images))
    if not distinct:
        return []
    request = ImageEnsureRequest(images=[image._definition() for image in distinct], without_runner=without_runner)
    ids: dict[int, str] = {}
    screen = client.listener.screen
    for message in client.stream("Images.Ensure", request):
        event = cast("ImageEvent", message)
        if event.log:
            screen.detail(event.log)
        if event.error:
            raise ImageBuildError(f"{distinct[event.index]!r} could not be built: {event.error}")
        if event.image_id:
            ids[event.index] = event.image_id
            if event.built:
                screen.step(f"Built image {event.image_id} in {event.seconds:.1f} s")
    if len(ids) < len(distinct):
        raise ImageBuildError("the service ended the build without saying how it went; see its log")
    return [ids[distinct.index(image)] for image in images]
