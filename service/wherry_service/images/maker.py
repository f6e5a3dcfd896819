"""Makes an image: its stages one after the other, each under a tag of its own, with BuildKit."""

import asyncio
import contextlib
import json
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wherry_proto.messages import ImageDefinition, ImageStep, SourceFile
from wherry_service.engines.engine import Engine
from wherry_service.errors import InvalidRequest
from wherry_service.images import host, render
from wherry_service.images.base import DEFAULT_PYTHON, SUITES, BaseImages
from wherry_service.images.borrowing import Borrowing, refusal
from wherry_service.images.caches import CacheNames, unnamed
from wherry_service.images.definition import secret_ids
from wherry_service.images.errors import ImageBuildError
from wherry_service.images.fetching import Fetching, check_triggers
from wherry_service.images.fetching import refusal as fetching_refusal
from wherry_service.images.functions import FunctionRun, volumes_of
from wherry_service.images.objects import BuildObjects
from wherry_service.images.packages import NEED_PIP, tools_of
from wherry_service.images.process import follow
from wherry_service.images.progress import OnBegun, OnLog, OnStep, Progress, Titles
from wherry_service.images.registry import Registry
from wherry_service.images.settings import ImageSettings
from wherry_service.images.steps import Stage, stages
from wherry_service.store.blobs import BlobStore
from wherry_service.store.trees import lay_down, permissions

_PULLED = {"conda": "continuumio/miniconda3:latest", "micromamba": "mambaorg/micromamba:latest"}


@dataclass(slots=True)
class Making:
    """One image being made: who hears of it, and what its steps are lent."""

    image_id: str
    on_log: OnLog
    on_step: OnStep
    # Hears which step has begun, of how many.
    on_begun: Callable[[int, int], None] = lambda number, count: None
    # All its steps, and those of the stages that are made.
    num_steps: int = 0
    num_done: int = 0
    # By the position of the step.
    secrets: dict[int, Mapping[str, str]] = field(default_factory=dict)

    def begun(self, number: int) -> None:
        """Note that a step of the stage that is being made has begun."""
        self.on_begun(min(self.num_done + number, self.num_steps), self.num_steps)


class Maker:
    """Makes images on one engine."""

    def __init__(
        self,
        engine: Engine,
        work_dir: Path,
        blobs: BlobStore,
        settings: ImageSettings,
        registry: Registry,
        run_function: FunctionRun,
        objects: BuildObjects,
    ) -> None:
        self._engine = engine
        self._work_dir = work_dir
        self._blobs = blobs
        self._settings = settings
        self._registry = registry
        self._run_function = run_function
        self._objects = objects
        self._bases = BaseImages(engine, work_dir, settings)
        self._caches = CacheNames(work_dir)
        self._cli: host.BuildCli | None = None
        self._locks: dict[str, asyncio.Lock] = {}

    async def cli(self) -> host.BuildCli:
        """Return the docker CLI that builds; raise `Unready` if there is none."""
        if self._cli is None:
            self._cli = await host.find_build_cli()
        return self._cli

    async def make(self, definition: ImageDefinition, making: Making, environment: str) -> list[Stage]:
        """Make the image; return its stages, the image's own last.

        Raises `ImageBuildError`, `InvalidRequest` and what the host lacks.
        """
        lent = render.Lent(
            ca=host.ca_bundle() is not None,
            pip=bool(host.pip_settings()),
            apt=bool(self._settings.apt_mirror),
            pip_wheel=host.pip_wheel() is not None,
            nonce=secrets.token_hex(8),
            caches=self._caches.of(environment),
            urls=self._settings.add_urls,
        )
        # Before the base, which may take a minute: what can't be rendered is refused at once.
        plan = stages(definition, lent)
        await self._look_up_objects(definition, making, environment)
        making.num_steps = sum(stage.num_steps for stage in plan)
        before = ""
        for stage in plan:
            # Stages are shared between chains: one is made once, whoever needs it first.
            async with self._locks.setdefault(stage.image_id, asyncio.Lock()):
                last = stage is plan[-1]
                if last or stage.forced or await self._engine.image(tag_of(stage.image_id)) is None:
                    await self._make_stage(stage, before, making, lent)
            before = stage.image_id
            making.num_done += stage.num_steps
        return plan

    async def build(
        self,
        image_id: str,
        tag: str,
        text: str,
        context: Path,
        arguments: Iterable[str],
        titles: Titles,
        on_log: OnLog,
        on_step: OnStep = lambda title, seconds, cached: None,
        on_begun: OnBegun = lambda number: None,
        base: str = "",
    ) -> None:
        """Have BuildKit build a Dockerfile's text; raise `ImageBuildError`.

        `base` is the only one of this service's images that it may take.
        """
        cli = await self.cli()
        file = context.parent / "Dockerfile"
        file.write_text(text)
        progress, borrowing, fetching = Progress(titles, on_log, on_step, on_begun), Borrowing(base), Fetching()

        def hear(line: str) -> None:
            line = unnamed(line)
            if not self._settings.add_urls and not fetching.line(line):
                raise ImageBuildError(image_id, fetching_refusal("its Dockerfile", fetching.url), [])
            if not borrowing.line(line):
                raise ImageBuildError(image_id, refusal("its Dockerfile", borrowing.taken), [])
            progress.line(line)

        command = [*cli.build, "--progress=plain", f"--tag={tag}", f"--file={file}", *arguments, str(context)]
        try:
            code = await follow(command, hear, env={"DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"})
        finally:
            # It may have been done before that was heard.
            if borrowing.taken or fetching.url:
                await self._engine.remove_image(tag)
        if code < 0:
            told = f"{cli.docker} was ended by signal {-code} ({signal.strsignal(-code)}) before it was done"
            raise ImageBuildError(image_id, told, progress.tail())
        if code != 0:
            raise ImageBuildError(image_id, progress.reason(), progress.tail())

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give an empty build context, gone with all beside it when it is left."""
        self._work_dir.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix="build-", dir=self._work_dir))
        context = directory / "context"
        context.mkdir()
        try:
            yield context
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(directory)

    async def check_objects(self, definition: ImageDefinition, environment: str) -> None:
        """Raise `NotFound` unless all secrets and volumes of an image's steps are that environment's."""
        for step in definition.steps:
            if ids := secret_ids(step):
                await self._objects.check_secrets(ids, environment)
            if step.function is not None and (places := volumes_of(step.function)):
                await self._objects.check_volumes([place.volume_id for place in places], environment)

    async def _look_up_objects(self, definition: ImageDefinition, making: Making, environment: str) -> None:
        for number, step in enumerate(definition.steps):
            if ids := secret_ids(step):
                making.secrets[number] = await self._objects.secret_values_of(ids, environment)
            if step.function is not None and (places := volumes_of(step.function)):
                await self._objects.check_volumes([place.volume_id for place in places], environment)
        values = sorted({value for found in making.secrets.values() for value in found.values() if len(value) >= 4})
        making.on_log = masking(making.on_log, values)

    async def _make_stage(self, stage: Stage, before: str, making: Making, lent: render.Lent) -> None:
        base, user = await self._base(stage, before, making)
        try:
            await self._make_on(base, user, stage, making, lent)
        except ImageBuildError:
            if not await self._bases.is_lost(base):
                raise
            making.on_log(f"{base} was removed from the engine: it is made again")
            await self._base(stage, before, making)
            await self._make_on(base, user, stage, making, lent)

    async def _make_on(self, base: str, user: str, stage: Stage, making: Making, lent: render.Lent) -> None:
        tag = tag_of(stage.image_id)
        labels = {"wherry.kind": "image", "wherry.image": stage.image_id}
        if stage.function is not None:
            function = stage.function.function
            if function is None:
                raise InvalidRequest("run_function: the step has no function")
            cli = await self.cli()
            values = making.secrets.get(stage.steps[0][0], {})
            making.begun(1)
            await self._run_function(cli.docker, base, tag, labels, function, values, making.on_log, making.on_step)
            return
        for _, step in stage.steps:
            if step.kind == "add_python":
                await self._bases.ensure_python(render.python_version(step), await self.cli(), making.on_log)
        own = stage.base is not None and stage.base.kind == "dockerfile"
        text = stage.text if own else render.dockerfile(base, stage.instructions, user)
        labelled = [f"--label={name}={value}" for name, value in labels.items()]
        with self.scratch() as context:
            await asyncio.to_thread(self._write_context, context, stage)
            arguments = [*labelled, *self._arguments(context.parent, stage, making, lent)]
            titles = stage.titles_by_place if own else stage.titles
            await self.build(
                making.image_id,
                tag,
                text + "\n",
                context,
                arguments,
                titles,
                making.on_log,
                making.on_step,
                making.begun,
                base,
            )

    def _arguments(self, folder: Path, stage: Stage, making: Making, lent: render.Lent) -> list[str]:
        """Return the builder's arguments; what is lent is written to files that only we can read, below `folder`."""
        found = list(host.proxy_arguments())

        def hand(name: str, text: str) -> None:
            file = folder / f"lent-{len(found)}"
            file.touch(mode=0o600)
            file.write_text(text)
            found.append(f"--secret=id={name},src={file}")

        if lent.ca:
            found.append(f"--secret=id={render.CA_SECRET},src={host.ca_bundle()}")
        if lent.pip:
            lines = [f"{key} = {value}\n" for key, value in host.pip_settings().items()]
            hand(render.PIP_SECRET, "[global]\n" + "".join(lines))
        if lent.apt:
            hand(render.APT_SECRET, self._settings.apt_mirror)
        for number, step in stage.steps:
            values = making.secrets.get(number, {})
            if values:
                hand(render.secret_name(number), render.secret_text(dict(values)))
            if step.kind == "dockerfile":
                found += [f"--build-arg={name}={value}" for name, value in sorted(step.options.items())]
                for name, value in values.items():
                    hand(name, value)
        if stage.forced and stage.base is not None and stage.base.force_build:
            found.append("--no-cache")
        return found

    async def _base(self, stage: Stage, before: str, making: Making) -> tuple[str, str]:
        """Return the reference of what a stage is built on, there by then, and the user that it runs as."""
        step = stage.base
        if step is None:
            reference = tag_of(before)
        elif step.kind in ("from_scratch", "dockerfile"):
            return "scratch", ""
        elif step.kind == "from_id":
            reference = tag_of(step.args[0])
            if await self._engine.image(reference) is None:
                cli = await self.cli()
                if not await self._registry.fetch(cli.docker, reference, making.on_log):
                    raise InvalidRequest(
                        f"from_id: there is no image {step.args[0]}: it was never built here, or pruned"
                    )
        else:
            reference = await self._foreign(step, making)
            if reference.startswith("wherry/base:"):  # made here, and it has no user
                return reference, ""
        found = await self._engine.image(reference)
        if found is not None and not self._settings.add_urls:
            check_triggers(reference, found.on_build)
        return reference, found.user if found is not None else ""

    async def _foreign(self, step: ImageStep, making: Making) -> str:
        cli = await self.cli()
        if step.kind == "debian_slim":
            version = step.options.get("python_version", "")
            short = ".".join((version or DEFAULT_PYTHON).split(".")[:2])
            if short in SUITES or not self._settings.python:
                return await self._bases.ensure(version, cli, making.on_log)
            reference = self._settings.python.replace("{version}", version)
        else:
            reference = _PULLED.get(step.kind) or render.registry_reference(step)
        if step.force_build or await self._engine.image(reference) is None:
            values = making.secrets.get(0, {})
            kind = step.options.get("registry", "")
            await self._registry.pull(cli.docker, reference, values, kind, making.on_log)
        return reference

    def _write_context(self, context: Path, stage: Stage) -> None:
        entries: list[tuple[Path, SourceFile]] = []
        for number, step in stage.steps:
            folder = context if step is stage.context else context / f"s{number}"
            alone = step.kind == "copy" and render.is_file(step)
            if step.kind in NEED_PIP and (wheel := host.pip_wheel()) is not None:
                tools = context / tools_of(number)
                tools.mkdir(parents=True)
                shutil.copyfile(wheel, tools / "pip.whl")
            for file in step.files:
                entries.append((folder / (render.FILE_NAME if alone else file.path), file))
        # Links of all steps last, so that no file is written through one.
        for target, file in sorted(entries, key=lambda entry: bool(entry[1].link)):
            lay_down(target, file, self._write)

    def _write(self, file: SourceFile, target: Path) -> None:
        if file.executable or file.mode:
            self._blobs.copy(file.blob_id, target)
            target.chmod(permissions(file))
        else:
            # Linked where the file system allows it: it may be large, and the builder only reads it.
            self._blobs.lend(file.blob_id, target)


def described(definition: ImageDefinition) -> str:
    """Return the Dockerfiles that a definition becomes, without what a host would lend them."""
    parts: list[str] = []
    before = ""
    for stage in stages(definition, render.Lent()):
        if stage.function is not None:
            parts.append(f"# {stage.image_id}\n# {tag_of(before)}, and in it: run_function({stage.function.args[0]})\n")
        elif stage.base is not None and stage.base.kind == "dockerfile":
            # A directive counts at the top only.
            parts.append(f"{stage.text}\n# {stage.image_id}\n")
        else:
            base = _base_name(stage.base) if stage.base is not None else tag_of(before)
            parts.append(f"# {stage.image_id}\n" + render.dockerfile(base, stage.instructions))
        before = stage.image_id
    return "\n".join(parts)


def steps_of(definition: ImageDefinition) -> list[str]:
    """Return what a definition is made of, a line each: FROM, and each step as a person calls it."""
    found: list[str] = []
    for stage in stages(definition, render.Lent()):
        if stage.function is not None:
            found.append(f"run_function {stage.function.args[0]}")
            continue
        if stage.base is not None and stage.base.kind != "dockerfile":
            found.append(f"FROM {_base_name(stage.base)}")
        found += [instruction.title for instruction in stage.instructions]
    return found


def _base_name(step: ImageStep) -> str:
    if step.kind == "debian_slim":
        version = ".".join((step.options.get("python_version") or DEFAULT_PYTHON).split(".")[:2])
        return f"wherry/base:{SUITES.get(version, 'python-' + version)}"
    if step.kind == "from_scratch":
        return "scratch"
    if step.kind == "from_id":
        return tag_of(step.args[0])
    return _PULLED.get(step.kind) or render.registry_reference(step)


def tag_of(image_id: str) -> str:
    """Return the engine's tag of a built image."""
    return f"wherry/image:{image_id.removeprefix('im-')}"


def masking(on_log: OnLog, values: Sequence[str]) -> OnLog:
    """Return what hears lines without these values, the longest first: one may be part of another."""
    ordered = sorted({part for value in values for part in (value, json.dumps(value)[1:-1])}, key=len, reverse=True)

    def masked(line: str) -> None:
        for value in ordered:
            line = line.replace(value, "****")
        on_log(line)

    return masked
