"""The bootstrap of a base and its import, with a debootstrap, a tar and an engine that do what the test says."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.engine import FakeEngine
from wherry_service.errors import InvalidRequest, ServiceError, Unready
from wherry_service.images.base import LOCALE, LOCALE_LABEL, BaseError, BaseImages, import_root

Command = Callable[[str, str], Path]

# `debootstrap --variant=… --cache-dir=… --include=… SUITE ROOT`
ROOT = 'mkdir -p "$5/usr/bin" "$5/usr/share/doc"; echo "I: Retrieving a"; echo "I: Base system installed"'


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Put a shell script on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name: str, script: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.mark.parametrize(
    ("tar", "engine", "code", "done"),
    [
        ("echo whole", "cat >/dev/null", 0, ["import"]),
        ("echo part; exit 2", "cat >/dev/null", 1, ["import", "rmi"]),
        ("echo whole", "cat >/dev/null; exit 125", 1, ["import"]),
    ],
)
def test_an_import_is_whole_or_none(
    command: Command, tmp_path: Path, tar: str, engine: str, code: int, done: list[str]
) -> None:
    command("tar", tar)
    docker = command("docker", f'echo "$1" >>{tmp_path}/done; [ "$1" != import ] || {{ {engine}; }}')
    root = tmp_path / "root"
    root.mkdir()

    lines: list[str] = []
    assert asyncio.run(import_root(root, str(docker), "wherry/base:test", lines.append)) == code
    assert (tmp_path / "done").read_text().split() == done
    assert ("tar could not pack the base" in lines) == (done[-1] == "rmi")


def ensured(bases: BaseImages, docker: Path, python: str = "3.11", on_log: Callable[[str], None] = str) -> str:
    return asyncio.run(bases.ensure(python, str(docker), on_log))


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.mark.usefixtures("as_root")
def test_a_base_is_made_once_whoever_asks(command: Command, tmp_path: Path) -> None:
    engine = FakeEngine({})
    command("debootstrap", f"echo $4 >>{tmp_path}/made; {ROOT}")
    docker = command("docker", f'tar -t >>{tmp_path}/packed; echo "$@" >>{tmp_path}/imported')
    bases = BaseImages(engine, tmp_path / "work")
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        if line == "importing it into the engine":
            engine.images_here["wherry/base:bookworm"] = {LOCALE_LABEL: LOCALE}

    async def main() -> list[str]:
        return await asyncio.gather(*(bases.ensure(version, str(docker), hear) for version in ("3.11", "", "3.11")))

    assert asyncio.run(main()) == ["wherry/base:bookworm"] * 3
    assert (tmp_path / "made").read_text().split() == ["bookworm"]
    assert "./usr/bin/python" in (tmp_path / "packed").read_text().split()
    assert (tmp_path / "imported").read_text().endswith("- wherry/base:bookworm\n")
    assert lines[1:] == ["Base system installed", "importing it into the engine"]
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.usefixtures("as_root")
def test_a_bootstrap_that_fails_once_is_tried_again(command: Command, tmp_path: Path) -> None:
    engine = FakeEngine({})
    # Of what the first attempt has left the packages serve the second, and the rest must not be in its way.
    fetched = "${2#--cache-dir=}/fetched"
    fails = f"[ -e {fetched} ] || {{ mkdir $5; touch {fetched}; echo 'E: no packages'; exit 1; }}"
    command("debootstrap", f"{fails}; [ ! -e $5 ] || exit 2; {ROOT}")
    docker = command("docker", "cat >/dev/null")
    bases = BaseImages(engine, tmp_path / "work")
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        if line == "importing it into the engine":
            engine.images_here["wherry/base:bookworm"] = {LOCALE_LABEL: LOCALE}

    assert asyncio.run(bases.ensure("3.11", str(docker), hear)) == "wherry/base:bookworm"
    assert "debootstrap failed (E: no packages); trying again" in lines


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize(
    ("debootstrap", "tar", "told"),
    [
        ("echo 'E: no such suite'; exit 1", "", "from Debian bookworm could not be made:\nE: no such suite"),
        (ROOT, "exit 2", "from Debian bookworm could not be imported:.*\ntar could not pack the base"),
    ],
)
def test_a_base_that_can_not_be_made_is_told(
    command: Command, tmp_path: Path, debootstrap: str, tar: str, told: str
) -> None:
    command("debootstrap", debootstrap)
    command("tar", tar)
    docker = command("docker", "[ $1 = rmi ] || cat >/dev/null")
    with pytest.raises(BaseError, match=f"(?s){told}$"):
        ensured(BaseImages(FakeEngine({}), tmp_path / "work"), docker)
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("python", "kind", "told"),
    [
        (
            "2.7",
            InvalidRequest,
            "Python 2.7 can't be had for debian_slim here: from Debian's packages there are 3.11, 3.13",
        ),
        ("3.11", Unready, "needs root"),
    ],
)
def test_what_can_not_be_bootstrapped_is_told(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    python: str,
    kind: type[ServiceError],
    told: str,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    command("debootstrap", ROOT)
    with pytest.raises(kind, match=told):
        ensured(BaseImages(FakeEngine({}), tmp_path / "work"), command("docker", ""), python)
    assert not (tmp_path / "work").exists()


def test_a_base_that_is_there_needs_nothing(command: Command, tmp_path: Path) -> None:
    bases = BaseImages(FakeEngine({"wherry/base:trixie": {LOCALE_LABEL: LOCALE}}), tmp_path / "work")
    assert ensured(bases, tmp_path / "no-docker", "3.13") == "wherry/base:trixie"


@pytest.mark.parametrize(("code", "told"), [(0, []), (1, ["wherry/base:trixie stays without LANG=C.UTF-8: no room"])])
def test_a_base_of_an_earlier_version_gets_a_locale(
    command: Command, tmp_path: Path, code: int, told: list[str]
) -> None:
    docker = command(
        "docker",
        f'echo "$@" >>{tmp_path}/asked\ncase $1 in create) echo made;; commit) echo no room; exit {code};; esac',
    )
    bases = BaseImages(FakeEngine({"wherry/base:trixie": {}}), tmp_path / "work")
    lines: list[str] = []
    assert asyncio.run(bases.ensure("3.13", str(docker), lines.append)) == "wherry/base:trixie"
    assert lines == told
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.split()[0] for line in asked] == ["create", "commit", "rm"]
    assert "--change ENV LANG=C.UTF-8" in asked[1]
    assert asked[1].endswith(" made wherry/base:trixie")
