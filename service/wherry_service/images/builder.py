"""Images as others ask for them: built when they are not there, each once, with the runner on top."""

import asyncio
import contextlib
import dataclasses
import logging
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wherry_proto.messages import ImageDefinition, ImageState, ImageStep
from wherry_service.engines.containment import Containment
from wherry_service.engines.engine import ContainerSpec, Engine, EngineError, EngineUnreachable
from wherry_service.engines.gpus import Gpus
from wherry_service.errors import ServiceError, stack_of
from wherry_service.ids import new_id
from wherry_service.images.build import Build, OnEvent
from wherry_service.images.definition import image_id, is_forced
from wherry_service.images.errors import ImageBuildError
from wherry_service.images.functions import BuildFunctions
from wherry_service.images.logs import BuildLogs
from wherry_service.images.maker import Maker, Making, tag_of
from wherry_service.images.objects import BuildObjects
from wherry_service.images.progress import OnLog
from wherry_service.images.pythons import python_of, settled
from wherry_service.images.reasons import reason
from wherry_service.images.registry import Registry
from wherry_service.images.runner_layer import RunnerLayer
from wherry_service.images.settings import ImageSettings
from wherry_service.store.away import left_for_later
from wherry_service.store.blobs import BlobStore
from wherry_service.store.images import ImageRecord, ImageStore
from wherry_service.store.sources import SourceStore
from wherry_service.store.trouble import in_words
from wherry_service.store.volumes import VolumeStore

log = logging.getLogger(__name__)

# What the docker CLI says of an engine that is away, or goes while it builds.
_AWAY = re.compile(
    r"cannot connect to the docker daemon|error reading from server|connection reset|connection refused|broken pipe"
    r"|transport is closing|unexpected eof|error during connect",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image that is there."""

    image_id: str
    # False when it was there already.
    built: bool
    seconds: float
    # Which Python runs functions in it, as "3.11"; "": its definition does not say.
    python: str = ""


class ImageBuilder:
    """Builds on one engine; the engine's own tags are the record of what is there."""

    def __init__(
        self,
        engine: Engine,
        work_dir: Path,
        records: ImageStore,
        blobs: BlobStore,
        sources: SourceStore,
        settings: ImageSettings,
        objects: BuildObjects,
        volumes: VolumeStore,
        labels: Mapping[str, str],
        containment: Containment,
        gpus: Gpus,
    ) -> None:
        self.records = records
        self.logs = BuildLogs(work_dir / "logs")
        self._engine = engine
        self._work_dir = work_dir
        self._settings = settings
        self._registry = Registry(settings, work_dir)
        # As of containers that builds run functions in: those of an earlier life are removed.
        self._labels = {**labels, "wherry.kind": "build"}
        self._functions = BuildFunctions(engine, work_dir, sources, volumes, labels, containment, gpus)
        self._maker = Maker(engine, work_dir, blobs, settings, self._registry, self._functions.run, objects)
        self._layer: RunnerLayer | None = None
        self._locks: dict[str, asyncio.Lock] = {}
        self._ready: dict[str, str] = {}
        # Built since the runner was last laid on them.
        self._rebuilt: set[str] = set()
        self._builds: dict[str, Build[BuiltImage]] = {}
        # Called with how each build ended ("built", "failed" or "stopped"), and the seconds it took.
        self.on_ended: list[Callable[[str, float], None]] = []

    async def begin(self) -> None:
        """Clear away what builds of an earlier life left behind."""
        if interrupted := await self.records.interrupted():
            log.info("%d image builds of an earlier life did not end; they begin again when asked for", interrupted)
        for pattern in ("build-*", "base-*", "python-*", "login-*"):
            for folder in self._work_dir.glob(pattern):
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        try:
            await self._functions.discard()
        except EngineError as error:
            log.warning("containers of earlier builds can't be looked for yet: %s", error)

    async def ensure(
        self, definition: ImageDefinition, on_event: OnEvent, environment: str = "main", *, bare: bool = False
    ) -> BuiltImage:
        """Build the image unless it is there, and lay the runner on it unless `bare`.

        A build that others wait for already is joined, what it has said is said again; when all who wait have gone,
        it is stopped. Raises `ImageBuildError` with the log's tail, `InvalidRequest` for what is no image, `NotFound`
        where a step has what is not the environment's: it is noted nowhere, and gets nothing of what others built.
        """
        definition = self.settled(definition)
        found, python = image_id(definition), python_of(definition)
        await self._maker.check_objects(definition, environment)
        forced = is_forced(definition)
        if not forced and found not in self._builds and await self._is_there(found):
            await self._know(found, definition, environment)
            if not bare:
                await self._make_ready(found, on_event.log)
            return BuiltImage(found, False, 0.0, python)
        while (build := self._builds.get(found)) is not None and build.is_stopped:
            await asyncio.wait([build.task])
        if build is None:
            build = self._builds[found] = Build(
                lambda heard: self._build(found, definition, environment, heard), self.logs.path(found)
            )
            build.task.add_done_callback(lambda _: self._builds.pop(found, None))
        built = await build.join(on_event)
        if not bare:
            await self._make_ready(found, on_event.log)
        return dataclasses.replace(built, python=python)

    def settled(self, definition: ImageDefinition) -> ImageDefinition:
        """Return a definition with the Python that its base gets here, where it left that open."""
        return settled(definition, bool(self._settings.python))

    @staticmethod
    def reference(wanted: str) -> str:
        """Return what the engine calls an image without the runner; it may not be there."""
        return tag_of(wanted)

    async def adopt(self, wanted: str, environment: str = "main") -> None:
        """Know an image that was not built but made of a container."""
        now = time.time_ns() // 1_000_000
        definition = ImageDefinition(steps=[ImageStep(kind="from_id", args=[wanted])])
        record = ImageRecord(wanted, definition, ImageState.BUILT, built_at_ms=now, used_at_ms=now)
        await self.records.put(record, environment)

    async def ready(self, wanted: str) -> str:
        """Return the reference of a built image with the runner on top; raise `ImageBuildError`."""
        return self._ready.get(wanted) or await self._make_ready(wanted, lambda line: None)

    def running(self, wanted: str) -> "Build[BuiltImage] | None":
        """Return the build of an image, if one runs."""
        return self._builds.get(wanted)

    @property
    def num_building(self) -> int:
        """How many builds run."""
        return len(self._builds)

    def forget(self, wanted: str) -> None:
        """Forget that an image is ready: it is being removed."""
        self._ready.pop(wanted, None)

    async def layer_hash(self) -> str:
        """Return what names the current runner's layer in tags."""
        return (await self._runner_layer()).hash

    async def _is_there(self, wanted: str) -> bool:
        try:
            return await self._engine.image(tag_of(wanted)) is not None
        except EngineError as error:
            raise ImageBuildError(wanted, str(error), []) from error

    async def _build(self, wanted: str, definition: ImageDefinition, environment: str, heard: OnEvent) -> BuiltImage:
        began = time.monotonic()
        now = time.time_ns() // 1_000_000
        record = ImageRecord(wanted, definition, ImageState.BUILDING, used_at_ms=now)
        # Written while the build begins.
        noted = asyncio.ensure_future(self._note(dataclasses.replace(record), environment, heard))
        try:
            await self._pull_or_make(wanted, definition, environment, heard)
        except BaseException as error:
            stopped = isinstance(error, asyncio.CancelledError)
            record.state = ImageState.STOPPED if stopped else ImageState.FAILED
            record.error = "it was stopped: nobody waited for it any more" if stopped else in_words(error)
            self._tell("stopped" if stopped else "failed", time.monotonic() - began)
            # Shielded: a build that is cancelled is recorded too.
            await asyncio.shield(self._note_end(noted, record))
            if isinstance(error, ServiceError | EngineError | OSError) and not isinstance(error, ImageBuildError):
                raise ImageBuildError(wanted, in_words(error), []) from error
            raise
        await _over(noted)
        record.state = ImageState.BUILT
        record.seconds = time.monotonic() - began
        self._tell("built", record.seconds)
        record.built_at_ms = time.time_ns() // 1_000_000
        # Before its record: where that can't be written, the image is there all the same.
        self._rebuilt.add(wanted)
        await self.records.put(record, environment)
        return BuiltImage(wanted, True, record.seconds)

    def _tell(self, outcome: str, seconds: float) -> None:
        for hear in self.on_ended:
            hear(outcome, seconds)

    async def _note_end(self, noted: "asyncio.Future[None]", record: ImageRecord) -> None:
        """Record how a build ended: after that it began, however soon it failed. Its own error is the one to tell."""
        await _over(noted)
        with left_for_later():
            await self.records.put(record)

    async def _know(self, wanted: str, definition: ImageDefinition, environment: str) -> None:
        """Have the record of an image that is there say so: that of its build may not have been written."""
        known = await self.records.get(wanted)
        if known is None or known.state != ImageState.BUILT:
            now = time.time_ns() // 1_000_000
            record = ImageRecord(wanted, definition, ImageState.BUILT, built_at_ms=now, used_at_ms=now)
            await self.records.put(record, environment)

    async def _note(self, record: ImageRecord, environment: str, heard: OnEvent) -> None:
        """Record that a build has begun, and say why it has to be."""
        known = await self.records.list(environment)
        await self.records.put(record, environment)
        own = next((other for other in known if other.image_id == record.image_id), None)
        # Of the same environment: what others have in theirs is not told.
        others = [other for other in known if other is not own and not other.internal]
        if why := reason(record.definition, own, others):
            heard.reason(why)

    async def _pull_or_make(self, wanted: str, definition: ImageDefinition, environment: str, heard: OnEvent) -> None:
        docker = (await self._maker.cli()).docker
        if not is_forced(definition) and await self._registry.fetch(docker, tag_of(wanted), heard.log):
            return
        making = Making(wanted, heard.log, heard.step, heard.begun)
        made = await self._maker.make(definition, making, environment)
        for stage in made[:-1]:
            part = ImageRecord(stage.image_id, stage.definition, ImageState.BUILT, internal=True)
            part.built_at_ms = part.used_at_ms = time.time_ns() // 1_000_000
            await self.records.put(part)
        await self._registry.share(docker, tag_of(wanted), heard.log)

    # The runner on top

    async def _make_ready(self, wanted: str, on_log: OnLog) -> str:
        layer = await self._runner_layer()
        tag = f"wherry/ready:{wanted.removeprefix('im-')}-{layer.hash}"
        try:
            async with self._locks.setdefault(tag, asyncio.Lock()):
                if wanted in self._rebuilt or await self._engine.image(tag) is None:
                    await self._lay(wanted, tag, layer, on_log)
                    self._rebuilt.discard(wanted)
                self._ready[wanted] = tag
        except (EngineError, OSError) as error:
            raise ImageBuildError(wanted, in_words(error), []) from error
        return tag

    async def _runner_layer(self) -> RunnerLayer:
        if self._layer is None:
            self._layer = await asyncio.to_thread(RunnerLayer)
        return self._layer

    async def _lay(self, wanted: str, tag: str, layer: RunnerLayer, on_log: OnLog) -> None:
        async with self._without_triggers(wanted) as base:
            await self._lay_on(base, wanted, tag, layer, on_log)

    @contextlib.asynccontextmanager
    async def _without_triggers(self, wanted: str) -> AsyncIterator[str]:
        """Give the reference of an image whose ONBUILD lines do not run here: they are for the user's next build."""
        base = tag_of(wanted)
        found = await self._engine.image(base)
        if found is None or not found.on_build:
            yield base
            return
        plain = f"wherry/plain:{wanted.removeprefix('im-')}"
        # A container has no such lines, nor has an image that is made of it.
        spec = ContainerSpec(name=new_id("wherry-plain"), image=base, command=("true",), labels=self._labels)
        engine_id = await self._engine.create(spec)
        try:
            await self._engine.commit(engine_id, plain, {"wherry.kind": "image"})
        finally:
            await self._engine.remove(engine_id)
        try:
            yield plain
        finally:
            await self._engine.remove_image(plain)

    async def _lay_on(self, base: str, wanted: str, tag: str, layer: RunnerLayer, on_log: OnLog) -> None:
        text = layer.dockerfile(base, {"wherry.kind": "ready", "wherry.image": wanted})
        with self._maker.scratch() as context:
            await asyncio.to_thread(layer.write_to, context)
            try:
                # Without a network: making one takes longer than all else of it.
                await self._maker.build(wanted, tag, text, context, ["--network=none"], [], on_log, base=base)
            except ImageBuildError as error:
                told = " ".join([error.reason, *error.log_tail])
                if "python3" in told and ("executable file not found" in told or "no such file" in told):
                    raise ImageBuildError(
                        wanted,
                        "it has no python3: functions need Python 3.10 or newer in their image; "
                        'from_registry and from_dockerfile take add_python="3.13", for example',
                        [],
                    ) from None
                if _AWAY.search(told):
                    raise error from EngineUnreachable(error.reason)
                raise


async def _over(noted: "asyncio.Future[None]") -> None:
    """Wait until the note that a build has begun is written, or can't be: what counts is how it ends."""
    await asyncio.wait([noted])
    if not noted.cancelled() and (error := noted.exception()) is not None:
        log.warning("that a build began could not be written: %s", in_words(error), exc_info=stack_of(error))
