"""Images: builds what is not built yet, and streams what happens."""

import asyncio
from collections.abc import AsyncIterator

from wherry_proto.messages import ImageDefinition, ImageEnsureRequest, ImageEvent
from wherry_service.errors import InvalidRequest
from wherry_service.images.builder import ImageBuilder
from wherry_service.images.errors import ImageBuildError


class ImageApi:
    """Serves image builds."""

    def __init__(self, builder: ImageBuilder) -> None:
        self._builder = builder

    async def ensure(self, request: ImageEnsureRequest) -> AsyncIterator[ImageEvent]:
        events: asyncio.Queue[ImageEvent] = asyncio.Queue()
        builds = [
            asyncio.ensure_future(self._build(index, definition, events, not request.without_runner))
            for index, definition in enumerate(request.images)
        ]
        open_builds = len(builds)
        try:
            while open_builds:
                event = await events.get()
                open_builds -= bool(event.image_id or event.error)
                yield event
        finally:
            for build in builds:
                build.cancel()

    async def _build(
        self, index: int, definition: ImageDefinition, events: "asyncio.Queue[ImageEvent]", runner: bool
    ) -> None:
        try:
            built = await self._builder.ensure(
                definition, lambda line: events.put_nowait(ImageEvent(index=index, log=line)), runner
            )
        except (ImageBuildError, InvalidRequest) as error:
            events.put_nowait(ImageEvent(index=index, error=str(error)))
        except Exception as error:  # the stream must end with a word on every image
            events.put_nowait(ImageEvent(index=index, error=f"the service failed: {type(error).__name__}: {error}"))
            raise
        else:
            events.put_nowait(
                ImageEvent(index=index, image_id=built.image_id, built=built.built, seconds=built.seconds)
            )
