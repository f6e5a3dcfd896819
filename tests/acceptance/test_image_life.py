"""What becomes of images: watched, stopped, begun again, listed, pruned."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

import wherry
from tests.acceptance.bare_run import printed_by
from tests.acceptance.servers import closing_engine
from tests.acceptance.service import OwnService
from tests.waiting import wait_until
from wherry import Image
from wherry._connection.client import default_client
from wherry._publish.images import ensure_images

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(service: OwnService, environment: dict[str, str]) -> Command:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "wherry.cli.main", *arguments]
        return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=100, check=False)

    return run


def read(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def written(folder: Path, *steps: str) -> Path:
    """A file with an image that has not been built before."""
    own = uuid.uuid4().hex
    text = f"import wherry\nimage = wherry.Image.debian_slim().run_commands('echo {own} >/own')"
    program = folder / "program.py"
    program.write_text(text + "".join(f"\\\n    .{step}" for step in steps) + "\napp = wherry.App('life')\n")
    return program


def test_b57_a_build_is_shown_listed_logged_and_not_repeated(command: Command, tmp_path: Path) -> None:
    program = written(tmp_path, "run_commands('echo hello; echo world >&2')")
    ref = f"{program}::image"
    shown = command("image", "show", ref)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[1] == "FROM wherry/base:bookworm"
    image_id = shown.stdout.splitlines()[0].removeprefix("# ")
    assert command("image", "show", image_id).returncode == 1

    first = command("image", "build", ref)
    assert first.stdout == f"{image_id}\n"
    assert "run echo hello; echo world >&2 (" in first.stderr
    program.write_text(program.read_text().replace("echo world", "echo worlds"))
    changed = command("image", "build", ref)
    told = "because step 3, run_commands, has echo hello; echo worlds >&2 and has no longer echo hello; echo world >&2"
    assert told in changed.stderr
    program.write_text(program.read_text().replace("echo worlds", "echo world"))
    again = command("image", "build", ref)
    assert (again.stdout, again.stderr) == (f"{image_id}\n", "")

    (row,) = [row for row in json.loads(command("image", "list", "--json").stdout) if row["image_id"] == image_id]
    assert row["state"] == "built"
    assert row["size_bytes"] > 1 << 20
    assert command("image", "show", image_id).stdout == shown.stdout
    log = command("image", "logs", image_id).stdout
    assert "  hello\n" in log
    assert "  world\n" in log

    forced = command("image", "build", "--force", "--json", ref)
    assert json.loads(forced.stdout) == [image_id]
    assert "  hello\n" in command("image", "logs", image_id).stdout


def test_only_what_follows_a_forced_step_is_run_again(service: OwnService) -> None:
    own = uuid.uuid4().hex

    def image(force: bool) -> Image:
        base = Image.debian_slim().run_commands(f"echo {own}; date +%s%N > /first")
        return base.run_commands("date +%s%N > /second", force_build=force).run_commands("date +%s%N > /third")

    engine = docker.from_env()

    def times(force: bool) -> list[str]:
        (image_id,) = ensure_images(default_client(), [image(force)], bare=True)
        tag = f"wherry/image:{image_id.removeprefix('im-')}"
        return printed_by(engine, tag, ["cat", "/first", "/second", "/third"]).split()

    try:
        before, same, after = times(False), times(False), times(True)
    finally:
        engine.close()
    assert before == same
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, False]


def test_a_change_of_the_last_step_runs_only_that(service: OwnService) -> None:
    own = uuid.uuid4().hex
    base = Image.debian_slim().run_commands(f"echo {own}; sleep 1; date > /slow")
    base.run_commands("true").build()
    image = base.run_commands("echo other").build()
    log = (service.state_dir / "images" / "logs" / f"{image.object_id}.log").read_text()
    assert f"run echo {own}; sleep 1; date > /slow: cached\n" in log
    assert "  other\n" in log


def test_images_of_one_app_are_built_at_the_same_time(service: OwnService) -> None:
    step = "date +%s%N >/began; sleep 1; date +%s%N >/ended"
    images = [Image.debian_slim().run_commands(f"echo {uuid.uuid4().hex}; {step}") for _ in range(2)]
    ids = ensure_images(default_client(), images, bare=True)
    with closing_engine() as engine:
        times = [
            [int(line) for line in printed_by(engine, f"wherry/image:{one[3:]}", ["cat", "/began", "/ended"]).split()]
            for one in ids
        ]
    assert max(began for began, _ in times) < min(ended for _, ended in times)


def builders() -> set[str]:
    """The processes that build something now."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            words = place.read_bytes().decode(errors="replace").split("\0")
            if "docker" in Path(words[0]).name and {"build", "--progress=plain"} <= set(words):
                found.add(place.parent.name)
    return found


def test_interrupting_stops_the_build_at_the_builder(
    service: OwnService, environment: dict[str, str], command: Command, tmp_path: Path
) -> None:
    program = written(tmp_path, "run_commands('echo began; sleep 600')")
    before = builders()
    line = [sys.executable, "-m", "wherry.cli.main", "image", "build", "-v", f"{program}::image"]
    process = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "began" not in process.stderr.readline().split():
        assert process.poll() is None
    assert builders() - before
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in told
    wait_until(lambda: not builders() - before, "the builder has ended")
    image_id = command("image", "show", f"{program}::image").stdout.splitlines()[0].removeprefix("# ")
    (row,) = [row for row in json.loads(command("image", "list", "--json").stdout) if row["image_id"] == image_id]
    assert (row["state"], row["error"]) == ("stopped", "it was stopped: nobody waited for it any more")


def test_two_apps_that_want_an_image_have_it_built_once(
    service: OwnService, environment: dict[str, str], tmp_path: Path
) -> None:
    program = written(tmp_path, "run_commands('date +%s%N > /built; sleep 1')")
    line = [sys.executable, "-m", "wherry.cli.main", "image", "build", "-v", f"{program}::image"]
    both = [
        subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=60) for process in both]
    assert told[0][0] == told[1][0]
    log = (service.state_dir / "images" / "logs" / f"{told[0][0].strip()}.log").read_text()
    assert log.count("run date +%s%N > /built; sleep 1: ") == 1


def test_a_build_that_loses_the_service_is_begun_again(
    service: OwnService, environment: dict[str, str], tmp_path: Path
) -> None:
    program = written(tmp_path, "run_commands('echo began; sleep 3; echo ended')")
    line = [sys.executable, "-m", "wherry.cli.main", "image", "build", "-v", f"{program}::image"]
    process = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "began" not in process.stderr.readline().split():
        assert process.poll() is None
    os.kill(service.pid, signal.SIGKILL)
    printed, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert printed.startswith("im-")


def test_images_that_nothing_uses_are_pruned_and_no_other(service: OwnService, command: Command) -> None:
    own = uuid.uuid4().hex
    used = Image.debian_slim().run_commands(f"echo used {own}")
    unused = Image.debian_slim().run_commands(f"echo unused {own}").build()
    based = Image.debian_slim().run_commands(f"echo base {own}").build()

    def nothing() -> None: ...

    app = wherry.App("prune")
    app.function(serialized=True, image=Image.from_id(based.object_id))(nothing)
    app.function(serialized=True, image=used, name="other")(nothing)
    engine = docker.from_env()
    tags = {image: f"wherry/image:{image.object_id.removeprefix('im-')}" for image in (unused, based)}
    try:
        with app.run():
            dry = command("image", "prune", "--all", "--dry-run", "--json")
            assert dry.returncode == 0, dry.stderr + service.log()
            would = read(dry)
            assert unused.object_id in {row["image_id"] for row in would["removed"]}
            assert engine.images.list(tags[unused])
            went = read(command("image", "prune", "--all", "--yes", "--json"))
            ids = {row["image_id"] for row in went["removed"]}
            assert unused.object_id in ids
            assert not {used.object_id, based.object_id} & ids
            assert engine.images.list(tags[unused]) == []
            assert engine.images.list(tags[based])
    finally:
        engine.close()
    rows = {row["image_id"]: row["state"] for row in read(command("image", "list", "--json"))}
    assert rows[unused.object_id] == "removed"
    assert "no log" in command("image", "logs", unused.object_id).stderr
    # What was removed is built again when it is wanted.
    assert unused.build().object_id == unused.object_id
