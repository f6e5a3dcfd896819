"""The builder, with an engine of the tests' own and a docker CLI that does what the test says."""

import asyncio
import contextlib
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.databases import Disk
from tests.fakes.engine import FakeEngine
from tests.fakes.images import builder_of
from wherry_proto.messages import ImageDefinition, ImageState, ImageStep
from wherry_service.errors import InvalidRequest
from wherry_service.images import host
from wherry_service.images.base_ways import BaseWays, Wanted
from wherry_service.images.build import OnEvent
from wherry_service.images.builder import ImageBuilder
from wherry_service.images.caches import KEY_FILE
from wherry_service.images.definition import image_id
from wherry_service.images.errors import ImageBuildError
from wherry_service.images.runner_layer import RunnerLayer
from wherry_service.store.blobs import BlobStore
from wherry_service.store.images import ImageRecord, ImageStore
from wherry_service.store.sources import SourceStore

WHOLE = """\
echo '#4 [1/3] FROM base'
echo '#5 [2/3] RUN one'
echo '#5 0.1 hello'
echo '#6 [3/3] WORKDIR'
"""

CLI = """\
#!/bin/sh
echo "$@" >>{folder}/asked
[ "$2" = build ] || exit 0
for argument; do
    case $argument in
        --tag=*) tag=${{argument#--tag=}} ;;
        --file=*) file=${{argument#--file=}} ;;
        --secret=id=wherry-pip,src=*) cp -p "${{argument##*src=}}" {folder}/pip.conf ;;
    esac
    last=$argument
done
case $tag in
    wherry/image:*)
        cp "$file" {folder}/Dockerfile
        {image}
        ;;
    *)
        cp -R "$last" {folder}/layer
        {ready}
        ;;
esac
echo "$tag" >>{folder}/built
"""


class Docker(FakeEngine):
    """A docker CLI, and the engine that has what it built."""

    def __init__(self, folder: Path) -> None:
        super().__init__({"wherry/base:bookworm": {"wherry.locale": "C.UTF-8"}})
        self._folder = folder
        self.does(image=WHOLE)

    def does(self, image: str = "", ready: str = "") -> None:
        path = self._folder / "docker"
        path.write_text(CLI.format(folder=self._folder, image=image, ready=ready))
        path.chmod(0o755)

    async def image_labels(self, reference: str) -> Mapping[str, str] | None:
        return {} if reference in self.built else await super().image_labels(reference)

    @property
    def built(self) -> list[str]:
        return self.lines("built")

    def lines(self, name: str) -> list[str]:
        path = self._folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(host, "ca_bundle", lambda: None)
    monkeypatch.setattr(host, "pip_settings", dict)
    monkeypatch.setattr(host, "proxies", dict)
    return Docker(folder)


@pytest.fixture
def make_builder(docker: Docker, disk: Disk) -> Iterator[Callable[[str], ImageBuilder]]:
    database = disk.database()
    blobs = BlobStore(disk.folder / "blobs")

    def make(name: str) -> ImageBuilder:
        sources = SourceStore(disk.folder / "sources", blobs)
        return builder_of(docker, disk.folder / name, ImageStore(database), blobs, sources)

    yield make
    database.close()


@pytest.fixture
def builder(make_builder: Callable[[str], ImageBuilder]) -> ImageBuilder:
    return make_builder("work")


def left_in(folder: Path) -> list[str]:
    """What is left beside the logs and the key of the caches."""
    return [path.name for path in folder.iterdir() if path.name not in ("logs", KEY_FILE)]


def hearing(lines: list[str]) -> OnEvent:
    return OnEvent(lines.append, lambda title, seconds, cached: None)


def chain(*more: ImageStep, force_build: bool = False) -> ImageDefinition:
    steps = [
        ImageStep(kind="debian_slim"),
        ImageStep(kind="env", options={"A": "1"}),
        ImageStep(kind="run_commands", args=["one"]),
        ImageStep(kind="workdir", args=["/srv"]),
    ]
    steps[0].force_build = force_build
    return ImageDefinition(steps=[*steps, *more])


WANTED = image_id(chain())
TAG = f"wherry/image:{WANTED.removeprefix('im-')}"


ignore = OnEvent(lambda line: None, lambda title, seconds, cached: None)


async def ready_after(builder: ImageBuilder) -> str:
    await builder.ensure(chain(), ignore)
    return await builder.ready(WANTED)


def failure(builder: ImageBuilder, definition: ImageDefinition | None = None) -> ImageBuildError:
    with pytest.raises(ImageBuildError) as caught:
        asyncio.run(builder.ensure(definition or chain(), ignore))
    return caught.value


# What is built


def test_an_image_is_built_and_the_runner_laid_on_top(builder: ImageBuilder, docker: Docker, tmp_path: Path) -> None:
    lines: list[str] = []
    built = asyncio.run(builder.ensure(chain(), hearing(lines)))
    assert (built.image_id, built.built) == (WANTED, True)
    ready = f"wherry/ready:{WANTED.removeprefix('im-')}-{RunnerLayer().hash}"
    assert docker.built == [TAG, ready]
    assert asyncio.run(builder.ready(WANTED)) == ready
    assert lines == ["run one", "  hello", "workdir /srv"]
    assert docker.lines("Dockerfile") == [
        "FROM wherry/base:bookworm",
        'ENV A="1"',
        'RUN ["/bin/sh", "-c", "one"]',
        'WORKDIR "/srv"',
        "",
    ]
    assert f"--label=wherry.kind=image --label=wherry.image={WANTED}" in docker.lines("asked")[-2]
    assert left_in(tmp_path / "work") == []


def test_a_base_that_was_removed_is_made_again(
    builder: ImageBuilder, docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def make(ways: BaseWays, wanted: Wanted, cli: host.BuildCli, on_log: Callable[[str], None]) -> None:
        docker.images_here[wanted.tag] = {}
        (tmp_path / "lost").unlink()

    monkeypatch.setattr(BaseWays, "make", make)
    asyncio.run(builder.ensure(chain(), ignore))
    docker.does(image=f"[ ! -e {tmp_path}/lost ] || {{ echo 'ERROR: failed to solve: no such base'; exit 1; }}")
    other = chain(ImageStep(kind="run_commands", args=["two"]))
    (tmp_path / "lost").touch()
    assert "no such base" in str(failure(builder, other))
    del docker.images_here["wherry/base:bookworm"]
    lines: list[str] = []
    assert asyncio.run(builder.ensure(other, hearing(lines))).built
    assert "wherry/base:bookworm was removed from the engine: it is made again" in lines


def test_what_is_there_is_not_built(
    builder: ImageBuilder, make_builder: Callable[[str], ImageBuilder], docker: Docker, tmp_path: Path
) -> None:
    ready = asyncio.run(ready_after(builder))
    again = make_builder("unused")
    assert asyncio.run(again.ensure(chain(), ignore)).built is False
    assert asyncio.run(again.ready(WANTED)) == ready
    assert docker.built == [TAG, ready]
    assert not (tmp_path / "unused").exists()


def test_a_service_that_knows_the_image_lays_its_runner_alone(builder: ImageBuilder, docker: Docker) -> None:
    docker.images_here[TAG] = {}
    ready = asyncio.run(builder.ready(WANTED))
    assert docker.built == [ready]


def test_a_ready_image_that_was_removed_is_laid_again(builder: ImageBuilder, docker: Docker, tmp_path: Path) -> None:
    ready = asyncio.run(ready_after(builder))
    (tmp_path / "bin" / "built").write_text(f"{TAG}\n")
    assert asyncio.run(builder.ensure(chain(), ignore)).built is False
    assert docker.built == [TAG, ready]


def test_a_forced_build_is_done_without_the_cache(builder: ImageBuilder, docker: Docker) -> None:
    for _ in range(2):
        assert asyncio.run(builder.ensure(chain(force_build=True), ignore)).built
    assert docker.built.count(TAG) == 2
    assert len(docker.built) == 4
    builds = [line for line in docker.lines("asked") if TAG in line]
    assert all("--no-cache" in line for line in builds)


def test_two_who_want_an_image_at_once_have_it_built_once(builder: ImageBuilder, docker: Docker) -> None:
    async def main() -> list[bool]:
        return [built.built for built in await asyncio.gather(*(builder.ensure(chain(), ignore) for _ in range(3)))]

    assert asyncio.run(main()) == [True, True, True]
    assert [tag.partition(":")[0] for tag in docker.built] == ["wherry/image", "wherry/ready"]


def test_the_reference_of_a_registry_is_the_base(builder: ImageBuilder, docker: Docker) -> None:
    definition = ImageDefinition(steps=[ImageStep(kind="from_registry", args=["python:3.12-slim"])])
    asyncio.run(builder.ensure(definition, ignore))
    assert "pull python:3.12-slim" in docker.lines("asked")
    assert docker.lines("Dockerfile")[0] == "FROM python:3.12-slim"


def test_what_the_host_lends_is_handed_over_as_secrets(
    builder: ImageBuilder, docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "ca_bundle", lambda: Path("/the/ca.crt"))
    monkeypatch.setattr(host, "pip_settings", lambda: {"index-url": "https://me:100%secret@index/"})
    monkeypatch.setattr(host, "proxies", lambda: {"HTTP_PROXY": "proxy"})
    asyncio.run(builder.ensure(chain(), ignore))
    (build,) = [line for line in docker.lines("asked") if TAG in line]
    assert "--build-arg=HTTP_PROXY=proxy --secret=id=wherry-ca,src=/the/ca.crt --secret=id=wherry-pip,src=" in build
    assert docker.lines("pip.conf") == ["[global]", "index-url = https://me:100%secret@index/"]
    assert stat.S_IMODE((tmp_path / "bin" / "pip.conf").stat().st_mode) == 0o600
    assert "secret@" not in "".join([*docker.lines("asked"), *docker.lines("Dockerfile")])


def test_the_layer_holds_the_runner_and_what_it_needs_of_the_sdk(
    builder: ImageBuilder, docker: Docker, tmp_path: Path
) -> None:
    asyncio.run(builder.ensure(chain(), ignore))
    layer = tmp_path / "bin" / "layer" / "wherry"
    for name in ("runner/wherry_runner/__main__.py", "sdk/wherry/__init__.py", "sdk/cloudpickle/__init__.py"):
        assert stat.S_IMODE((layer / name).stat().st_mode) == 0o644
    assert not (layer / "sdk/wherry/cli").exists()
    # No protobuf: what has to do with it stays out.
    contract = {path.name: path.read_text() for path in (layer / "sdk/wherry_proto").iterdir()}
    assert {"messages.py", "rows.py", "services.py"} < set(contract)
    assert not [name for name, text in contract.items() if "wherry_proto.v1" in text or "codec import" in text]


# What goes wrong


def test_a_failed_step_is_told_with_the_end_of_its_log(builder: ImageBuilder, docker: Docker, tmp_path: Path) -> None:
    docker.does(image=f"{WHOLE}\necho '#6 0.2 the reason'\necho '#6 ERROR: process \"x\": exit code: 3'\nexit 1")
    error = failure(builder)
    assert (error.image_id, error.log_tail) == (WANTED, ["the reason"])
    assert str(error) == f"Image {WANTED} could not be built: `workdir /srv` failed: exit code: 3\nthe reason"
    assert docker.built == []
    assert left_in(tmp_path / "work") == []


def test_a_build_that_takes_an_image_of_the_services_is_ended(builder: ImageBuilder, docker: Docker) -> None:
    docker.does(image="echo '#3 FROM docker.io/wherry/image:anothers'\nexec sleep 60")
    error = failure(builder)
    assert "takes wherry/image:anothers, an image of this service's" in error.reason
    assert asyncio.run(docker.image(TAG)) is None
    # What a stage of its own is built on is not meant.
    docker.does(image=WHOLE)
    assert asyncio.run(builder.ensure(chain(), ignore)).built


def test_a_build_that_failed_is_tried_again(builder: ImageBuilder, docker: Docker) -> None:
    docker.does(image="echo 'ERROR: no space left' >&2\nexit 1")
    assert failure(builder).reason == "no space left"
    docker.does(image=WHOLE)
    assert asyncio.run(builder.ensure(chain(), ignore)).built


def test_a_cli_that_is_killed_is_told(builder: ImageBuilder, docker: Docker, tmp_path: Path) -> None:
    docker.does(image="kill -9 $$")
    assert failure(builder).reason == f"{tmp_path}/bin/docker was ended by signal 9 (Killed) before it was done"


def test_a_cli_that_vanishes_is_named(builder: ImageBuilder, docker: Docker, tmp_path: Path) -> None:
    asyncio.run(builder.ensure(chain(), ignore))
    (tmp_path / "bin" / "docker").unlink()
    assert f"No such file or directory: '{tmp_path}/bin/docker'" in failure(builder, chain(force_build=True)).reason


def test_without_a_cli_it_is_told_what_to_install(builder: ImageBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.os, "access", lambda path, mode: False)
    assert "no docker CLI with BuildKit is installed: install docker-buildx" in failure(builder).reason


def test_a_cli_that_can_not_be_run_does_not_hide_the_next(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken" / "docker"
    broken.parent.mkdir()
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{tmp_path / 'bin'}:/usr/bin:/bin")
    assert asyncio.run(host.find_build_cli()).docker == f"{tmp_path}/bin/docker"


def test_an_engine_that_does_not_answer_is_told(builder: ImageBuilder, docker: Docker) -> None:
    docker.reachable = False
    assert failure(builder).reason == "the fake engine was told not to answer"


def test_an_image_without_python_is_told(builder: ImageBuilder, docker: Docker) -> None:
    docker.does(
        image=WHOLE,
        ready="""echo '#6 ERROR: runc run failed: exec: "python3": executable file not found in $PATH'; exit 1""",
    )
    assert failure(builder).reason.startswith("it has no python3: functions need Python 3.10 or newer in their image")


def test_an_old_python_is_told_by_the_check(builder: ImageBuilder, docker: Docker) -> None:
    ready = "echo '#6 0.1 Wherry needs Python 3.10'; echo '#6 ERROR: exit code: 1'; exit 1"
    docker.does(image=WHOLE, ready=ready)
    assert failure(builder).log_tail == ["Wherry needs Python 3.10"]


@pytest.mark.parametrize("base", ["bookworm", "none"])
def test_what_can_not_be_rendered_is_refused_before_anything_is_built(
    builder: ImageBuilder, docker: Docker, base: str
) -> None:
    if base == "none":
        docker.images_here.clear()
    bad = chain(ImageStep(kind="env", options={"A": "1\nRUN evil"}))
    assert failure(builder, bad).reason == "env: the value of A spans lines, which an image's environment can't"
    assert docker.built == []


def test_what_is_no_definition_is_an_invalid_request(builder: ImageBuilder) -> None:
    with pytest.raises(InvalidRequest, match="begins with"):
        asyncio.run(builder.ensure(ImageDefinition(), ignore))


# Who stops waiting


def test_the_last_who_stops_waiting_ends_the_child_and_the_next_builds(
    builder: ImageBuilder, docker: Docker, tmp_path: Path
) -> None:
    docker.does(image=f"echo $$ >>{tmp_path}/pids\necho '#5 [2/3] RUN one'\nexec sleep 600")

    async def main() -> None:
        running = asyncio.Event()
        told = OnEvent(lambda line: running.set(), lambda title, seconds, cached: None)
        first = asyncio.ensure_future(builder.ensure(chain(), told))
        await asyncio.wait_for(running.wait(), 30)
        late: list[str] = []
        second = asyncio.ensure_future(builder.ensure(chain(), hearing(late)))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        (pid,) = (tmp_path / "pids").read_text().split()
        assert Path(f"/proc/{pid}").exists()
        assert late == ["run one"]
        docker.does(image=WHOLE)
        second.cancel()
        third = asyncio.ensure_future(builder.ensure(chain(), ignore))
        await asyncio.wait([second])
        assert first.cancelled()
        assert second.cancelled()
        assert not Path(f"/proc/{pid}").exists()
        assert (await third).built

    asyncio.run(main())
    assert docker.built.count(TAG) == 1
    assert left_in(tmp_path / "work") == []


def test_b57_a_build_is_recorded_with_its_end_and_its_log(builder: ImageBuilder, docker: Docker) -> None:
    async def main() -> tuple[ImageRecord | None, str]:
        with contextlib.suppress(ImageBuildError):
            await builder.ensure(chain(), ignore)
        log = [text async for text in builder.logs.read(WANTED, None)]
        return await builder.records.get(WANTED), "".join(log)

    docker.does(image=f"{WHOLE}\necho '#6 0.2 the reason'\necho '#6 ERROR: x: exit code: 3'\nexit 1")
    record, log = asyncio.run(main())
    assert record is not None
    assert (record.state, record.error.splitlines()[-1]) == (ImageState.FAILED, "the reason")
    assert log.splitlines()[:3] == ["run one", "  hello", "workdir /srv"]
    assert "exit code: 3" in log
    docker.does(image=WHOLE)
    record, log = asyncio.run(main())
    assert record is not None
    assert (record.state, record.error) == (ImageState.BUILT, "")


def test_what_a_chain_is_built_by_way_of_is_recorded_with_its_own_steps(builder: ImageBuilder) -> None:
    """A base alone too, where the first step is a stage of its own."""
    copies = ImageStep(kind="dockerfile_commands", args=["COPY a /a"])
    whole = ImageDefinition(steps=[ImageStep(kind="debian_slim"), copies, ImageStep(kind="workdir", args=["/a"])])

    async def main() -> list[ImageRecord]:
        await builder.ensure(whole, ignore)
        return await builder.records.list()

    records = asyncio.run(main())
    assert sorted(len(record.definition.steps) for record in records) == [1, 2, 3]
    assert [image_id(record.definition) for record in records] == [record.image_id for record in records]


def test_a_row_of_before_without_steps_is_an_image_that_is_there(builder: ImageBuilder) -> None:
    async def main() -> ImageRecord | None:
        await builder.records.put(ImageRecord(WANTED, ImageDefinition(), ImageState.BUILT, internal=True))
        return await builder.records.get(WANTED)

    record = asyncio.run(main())
    assert record is not None
    assert record.definition.steps == [ImageStep(kind="from_id", args=[WANTED])]


def test_a_build_that_nobody_waits_for_is_stopped_and_not_failed(builder: ImageBuilder, docker: Docker) -> None:
    docker.does(image="echo '#5 [2/3] RUN one'\nexec sleep 600")

    async def main() -> ImageRecord | None:
        running = asyncio.Event()
        told = OnEvent(lambda line: running.set(), lambda title, seconds, cached: None)
        only = asyncio.ensure_future(builder.ensure(chain(), told))
        await asyncio.wait_for(running.wait(), 30)
        only.cancel()
        await asyncio.wait([only])
        return await builder.records.get(WANTED)

    record = asyncio.run(main())
    assert record is not None
    assert (record.state, record.error) == (ImageState.STOPPED, "it was stopped: nobody waited for it any more")


def test_a_build_of_an_earlier_life_is_told_as_stopped(builder: ImageBuilder) -> None:
    async def main() -> ImageRecord | None:
        await builder.records.put(ImageRecord(WANTED, chain(), ImageState.BUILDING))
        await builder.begin()
        return await builder.records.get(WANTED)

    record = asyncio.run(main())
    assert record is not None
    assert record.state == ImageState.STOPPED
    assert "the service ended while it was being built" in record.error


def test_what_the_engine_fetches_ends_the_build_and_leaves_no_image(
    docker: Docker, builder: ImageBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []

    async def remove(tag: str) -> bool:
        removed.append(tag)
        return True

    monkeypatch.setattr(docker, "remove_image", remove)
    docker.does(image="echo '#6 http://127.0.0.1:1/x'\n" + WHOLE)
    with pytest.raises(ImageBuildError, match=r"ADD fetch http://127\.0\.0\.1:1/x: .*images\.add_urls"):
        asyncio.run(builder.ensure(chain(), ignore))
    assert removed == [TAG]
