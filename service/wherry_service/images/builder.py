"""Builds images with BuildKit, each once, and lays the runner on top."""

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wherry_proto.messages import ImageDefinition
from wherry_service.engines.engine import Engine, EngineError
from wherry_service.errors import NotFound, ServiceError
from wherry_service.images import host, render
from wherry_service.images.base import BaseImages
from wherry_service.images.definition import image_id
from wherry_service.images.errors import ImageBuildError
from wherry_service.images.process import follow
from wherry_service.images.progress import Progress
from wherry_service.images.runner_layer import RunnerLayer

OnLog = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image that is there."""

    image_id: str
    # False when it was there already.
    built: bool
    seconds: float


class ImageBuilder:
    """Builds on one engine; the engine's own tags are the record of what is built."""

    def __init__(self, engine: Engine, work_dir: Path) -> None:
        self._engine = engine
        self._work_dir = work_dir
        self._bases = BaseImages(engine, work_dir)
        self._layer: RunnerLayer | None = None
        self._cli: host.BuildCli | None = None
        self._locks: dict[str, asyncio.Lock] = {}
        self._ready: dict[str, str] = {}

    async def ensure(self, definition: ImageDefinition, on_log: OnLog, runner: bool = True) -> BuiltImage:
        """Build the image unless it is there; raise `ImageBuildError` with the log's tail.

        Without the runner it serves sandboxes, and needs no Python.
        """
        began = time.monotonic()
        found = image_id(definition)
        tag = _tag(found)
        built = False
        try:
            async with self._locks.setdefault(found, asyncio.Lock()):
                alone = len(definition.steps) == 1 and definition.steps[0].kind == "from_id"
                if (definition.force_build and not alone) or await self._engine.image_labels(tag) is None:
                    await self._build(found, tag, definition, on_log)
                    built = True
                if runner:
                    await self._make_ready(found, on_log, anew=built)
        except ImageBuildError:
            raise
        except (ServiceError, EngineError, OSError) as error:
            raise ImageBuildError(found, str(error), []) from error
        return BuiltImage(found, built, time.monotonic() - began)

    @staticmethod
    def reference(wanted: str) -> str:
        """Return what the engine calls an image without the runner; it may not be there."""
        return _tag(wanted)

    async def ready(self, wanted: str) -> str:
        """Return the reference of a built image with the runner on top; raise `ImageBuildError`."""
        return self._ready.get(wanted) or await self._make_ready(wanted, lambda line: None, anew=False)

    async def _make_ready(self, wanted: str, on_log: OnLog, anew: bool) -> str:
        layer = await self._runner_layer()
        tag = f"wherry/ready:{wanted.removeprefix('im-')}-{layer.hash}"
        async with self._locks.setdefault(tag, asyncio.Lock()):
            if anew or await self._engine.image_labels(tag) is None:
                await self._lay(wanted, tag, layer, on_log)
            self._ready[wanted] = tag
        return tag

    async def _runner_layer(self) -> RunnerLayer:
        if self._layer is None:
            self._layer = await asyncio.to_thread(RunnerLayer)
        return self._layer

    async def _build(self, wanted: str, tag: str, definition: ImageDefinition, on_log: OnLog) -> None:
        cli = await self._build_cli()
        ca, pip = host.ca_bundle(), host.pip_settings()
        # Before the base, which may take a minute: what can't be rendered is refused at once.
        instructions = render.instructions(definition.steps[1:], render.Lent(ca=ca is not None, pip=bool(pip)))
        first = definition.steps[0]
        if first.kind == "debian_slim":
            base = await self._bases.ensure(first.options.get("python_version", ""), cli.docker, on_log)
        elif first.kind == "from_id":
            base = _tag(first.args[0])
            if await self._engine.image_labels(base) is None:
                raise NotFound(f"there is no image {first.args[0]} on this host")
        else:
            base = render.registry_reference(first)
        text = render.dockerfile(base, instructions) + _label(wanted, "image")
        arguments = [*host.proxy_arguments()]
        if definition.force_build:
            arguments.append("--no-cache")
        if ca is not None:
            arguments.append(f"--secret=id={render.CA_SECRET},src={ca}")
        with self._scratch() as context:
            if pip:
                config = context.parent / "pip.conf"
                config.touch(mode=0o600)
                config.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in pip.items()))
                arguments.append(f"--secret=id={render.PIP_SECRET},src={config}")
            # BuildKit counts and names only what makes a layer.
            titles = [instruction.title for instruction in instructions if not instruction.text.startswith("ENV ")]
            await self._run(wanted, tag, text, context, arguments, titles, on_log)

    async def _lay(self, wanted: str, tag: str, layer: RunnerLayer, on_log: OnLog) -> None:
        text = layer.dockerfile(_tag(wanted), {"wherry.kind": "ready", "wherry.image": wanted})
        with self._scratch() as context:
            await asyncio.to_thread(layer.write_to, context)
            try:
                await self._run(wanted, tag, text, context, [], [], on_log)
            except ImageBuildError as error:
                told = " ".join([error.reason, *error.log_tail])
                if '"python3": executable file not found' in told:
                    raise ImageBuildError(
                        wanted, "it has no python3: functions need Python 3.10 or newer in their image", []
                    ) from None
                raise

    async def _run(
        self,
        wanted: str,
        tag: str,
        text: str,
        context: Path,
        arguments: list[str],
        titles: list[str],
        on_log: OnLog,
    ) -> None:
        cli = await self._build_cli()
        file = context.parent / "Dockerfile"
        file.write_text(text)
        progress = Progress(titles, on_log)
        command = [*cli.build, "--progress=plain", f"--tag={tag}", f"--file={file}", *arguments, str(context)]
        code = await follow(command, progress.line, env={"DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"})
        if code < 0:
            told = f"{cli.docker} was ended by signal {-code} ({signal.strsignal(-code)}) before it was done"
            raise ImageBuildError(wanted, told, progress.tail())
        if code != 0:
            raise ImageBuildError(wanted, progress.reason(), progress.tail())

    async def _build_cli(self) -> host.BuildCli:
        if self._cli is None:
            self._cli = await host.find_build_cli()
        return self._cli

    def _scratch(self) -> "_Scratch":
        return _Scratch(self._work_dir)


class _Scratch:
    """An empty build context, gone with all beside it when it is left."""

    def __init__(self, work_dir: Path) -> None:
        self._work_dir = work_dir

    def __enter__(self) -> Path:
        self._work_dir.mkdir(parents=True, exist_ok=True)
        self._directory = Path(tempfile.mkdtemp(prefix="build-", dir=self._work_dir))
        context = self._directory / "context"
        context.mkdir()
        return context

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):
            shutil.rmtree(self._directory)


def _tag(wanted: str) -> str:
    return f"wherry/image:{wanted.removeprefix('im-')}"


def _label(wanted: str, kind: str) -> str:
    return f'LABEL wherry.kind="{kind}" wherry.image="{wanted}"\n'
