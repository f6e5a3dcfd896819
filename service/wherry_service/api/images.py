"""Images: builds what is not built yet and streams what happens; shows, lists and prunes them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from wherry_proto.messages import (
    ImageDefinition,
    ImageEnsureRequest,
    ImageEvent,
    ImageInfo,
    ImageListRequest,
    ImageListResponse,
    ImageLogChunk,
    ImageLogsRequest,
    ImagePruneRequest,
    ImagePruneResponse,
    ImageShowRequest,
    ImageState,
    ImageStepEnd,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ADMIN, DEPLOY, FIELD, Inside, Where
from wherry_service.api.statuses import status_of
from wherry_service.engines.engine import Engine, EngineError, is_unreachable
from wherry_service.errors import InvalidRequest, NotFound, ServiceError
from wherry_service.images.build import OnEvent
from wherry_service.images.builder import ImageBuilder
from wherry_service.images.definition import image_id, summary
from wherry_service.images.errors import ImageBuildError
from wherry_service.images.maker import described, steps_of, tag_of
from wherry_service.images.prune import Pruner
from wherry_service.store.images import ImageRecord

AppsByImage = Callable[[], Mapping[str, Sequence[str]]]


class ImageApi:
    """Serves images."""

    def __init__(
        self, builder: ImageBuilder, engine: Engine, pruner: Pruner, keep_days: float, apps_by_image: AppsByImage
    ) -> None:
        self._builder = builder
        self._engine = engine
        self._pruner = pruner
        self._keep_days = keep_days
        self._apps_by_image = apps_by_image

    @rpc("Images.Ensure", DEPLOY, FIELD, inside=Inside.SANDBOX)
    async def ensure(self, request: ImageEnsureRequest) -> AsyncIterator[ImageEvent]:
        events: asyncio.Queue[ImageEvent] = asyncio.Queue()
        builds = [
            asyncio.ensure_future(self._build(index, definition, request, events))
            for index, definition in enumerate(request.images)
        ]
        open_builds = len(builds)
        used: list[str] = []
        try:
            while open_builds:
                event = await events.get()
                open_builds -= bool(event.image_id or event.error)
                if event.image_id and not event.error:
                    used.append(event.image_id)
                if not open_builds and used:
                    # Before the last word: whoever has it may look at once.
                    await self._builder.records.used(used, environment=request.environment or "main")
                yield event
        finally:
            for build in builds:
                build.cancel()
            await asyncio.gather(*builds, return_exceptions=True)

    @rpc("Images.Show", DEPLOY, Where.ANYWHERE)
    async def show(self, request: ImageShowRequest) -> ImageInfo:
        if request.definition is not None:
            request.definition = self._builder.settled(request.definition)
            wanted = image_id(request.definition)
            record = await self._builder.records.get(wanted)
            record = record or ImageRecord(wanted, request.definition, ImageState.UNSPECIFIED)
            record.definition = request.definition
        else:
            record = await self._known(request.image_id)
        info = await self._info(record)
        info.dockerfile, info.steps = described(record.definition), steps_of(record.definition)
        return info

    @rpc("Images.List", DEPLOY, Where.ANYWHERE)
    async def list(self, request: ImageListRequest) -> ImageListResponse:
        records = [record for record in await self._builder.records.list() if not record.internal]
        infos = await asyncio.gather(*(self._info(record) for record in records))
        by_image = self._apps_by_image()
        for info in infos:
            info.apps = sorted(set(by_image.get(info.image_id, ())))
        return ImageListResponse(images=list(infos))

    @rpc("Images.Logs", DEPLOY, ("image_id",))
    async def logs(self, request: ImageLogsRequest) -> AsyncIterator[ImageLogChunk]:
        await self._known(request.image_id)
        build = self._builder.running(request.image_id) if request.follow else None
        async for text in self._builder.logs.read(request.image_id, build.task if build is not None else None):
            yield ImageLogChunk(text=text)

    @rpc("Images.Prune", ADMIN, Where.EVERYWHERE, audited=True)
    async def prune(self, request: ImagePruneRequest) -> ImagePruneResponse:
        days = request.older_than_days if request.older_than_days >= 0 else self._keep_days
        found = await self._pruner.prune(days, request.dry_run)
        removed: list[ImageInfo] = []
        for pruned in found:
            info = _plain(pruned.record)
            info.size_bytes = pruned.size_bytes
            removed.append(info)
        return ImagePruneResponse(removed=removed, freed_bytes=sum(pruned.size_bytes for pruned in found))

    async def _known(self, wanted: str) -> ImageRecord:
        record = await self._builder.records.get(wanted)
        if record is None:
            raise NotFound(f"there is no image {wanted[:40]!r} here; `wherry image list` shows which there are")
        return record

    async def _info(self, record: ImageRecord) -> ImageInfo:
        info = _plain(record)
        try:
            found = await self._engine.image(tag_of(record.image_id))
        except EngineError:
            return info
        if found is not None:
            info.size_bytes = found.size_bytes
            info.state = ImageState.BUILT if info.state != ImageState.BUILDING else info.state
        elif record.state == ImageState.BUILT:
            info.state = ImageState.PRUNED
        return info

    async def _build(
        self, index: int, definition: ImageDefinition, request: ImageEnsureRequest, events: "asyncio.Queue[ImageEvent]"
    ) -> None:
        def log(line: str) -> None:
            events.put_nowait(ImageEvent(index=index, log=line))

        def step(title: str, seconds: float, cached: bool) -> None:
            events.put_nowait(ImageEvent(index=index, step=ImageStepEnd(title=title, seconds=seconds, cached=cached)))

        def reason(text: str) -> None:
            events.put_nowait(ImageEvent(index=index, reason=text))

        def begun(number: int, count: int) -> None:
            events.put_nowait(ImageEvent(index=index, step_number=number, step_count=count))

        environment = request.environment or "main"
        try:
            built = await self._builder.ensure(
                definition, OnEvent(log, step, reason, begun), environment, bare=request.bare
            )
        except ImageBuildError as error:
            events.put_nowait(
                ImageEvent(index=index, error=error.what, image_id=error.image_id, engine_away=is_unreachable(error))
            )
        except (ServiceError, InvalidRequest) as error:
            events.put_nowait(ImageEvent(index=index, error=str(error)))
        except Exception as error:  # noqa: BLE001 - the stream must end with a word on every image
            events.put_nowait(ImageEvent(index=index, error=status_of("Images.Ensure", error)[1]))
        else:
            events.put_nowait(
                ImageEvent(
                    index=index,
                    image_id=built.image_id,
                    built=built.built,
                    seconds=built.seconds,
                    python=built.python,
                )
            )


def _plain(record: ImageRecord) -> ImageInfo:
    return ImageInfo(
        image_id=record.image_id,
        state=record.state,
        summary=summary(record.definition),
        built_at_ms=record.built_at_ms,
        used_at_ms=record.used_at_ms,
        seconds=record.seconds,
        error=record.error,
    )
