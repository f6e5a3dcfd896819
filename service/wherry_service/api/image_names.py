"""Names of images."""

import re

from wherry_proto.messages import (
    ImageName,
    ImageNameRequest,
    ImageNamesRequest,
    ImageNamesResponse,
    ImagePublishRequest,
    ImageState,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import DEPLOY, FIELD, Inside
from wherry_service.errors import Exhausted, InvalidRequest, NotFound
from wherry_service.images.builder import ImageBuilder
from wherry_service.store.image_names import MOST_NAMES, ImageNames, TooManyNames

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?\Z")


class ImageNameApi:
    """Serves names of images."""

    def __init__(self, names: ImageNames, builder: ImageBuilder) -> None:
        self._names = names
        self._builder = builder

    @rpc("Images.Publish", DEPLOY, FIELD, audited=True)
    async def publish(self, request: ImagePublishRequest) -> ImageName:
        name, environment = _whole(request.name), request.environment or "main"
        record = await self._builder.records.get(request.image_id)
        if record is None or record.state != ImageState.BUILT:
            raise NotFound(f"there is no image {request.image_id[:40]!r} here that is built")
        try:
            return await self._names.publish(name, environment, record.image_id)
        except TooManyNames:
            raise Exhausted(
                f"environment {environment!r} has {MOST_NAMES} names of images already: delete some with "
                "`wherry image names delete`"
            ) from None

    @rpc("Images.Named", DEPLOY, FIELD, inside=Inside.SANDBOX)
    async def named(self, request: ImageNameRequest) -> ImageName:
        return await self._known(request)

    @rpc("Images.Names", DEPLOY, FIELD)
    async def names(self, request: ImageNamesRequest) -> ImageNamesResponse:
        environment = request.environment or "main"
        if request.name:
            await self._known(ImageNameRequest(name=request.name, environment=environment))
            return ImageNamesResponse(names=await self._names.history(_whole(request.name), environment))
        return ImageNamesResponse(names=await self._names.list(environment, request.prefix))

    @rpc("Images.Unpublish", DEPLOY, FIELD, audited=True)
    async def unpublish(self, request: ImageNameRequest) -> ImageName:
        found = await self._known(request)
        await self._names.remove(found.name, found.environment)
        return found

    async def _known(self, request: ImageNameRequest) -> ImageName:
        name, environment = _whole(request.name), request.environment or "main"
        found = await self._names.get(name, environment)
        if found is None:
            raise NotFound(
                f"no image is named {name!r} in environment {environment!r}: `wherry image names list` shows the names"
            )
        return found


def _whole(name: str) -> str:
    """Return "NAME:TAG"; raise InvalidRequest for what is no name."""
    if not _NAME.match(name):
        raise InvalidRequest(
            f"{name[:80]!r} can't be the name of an image: it is NAME or NAME:TAG, of letters, digits, '.', '_' and '-'"
        )
    return name if ":" in name else f"{name}:latest"
