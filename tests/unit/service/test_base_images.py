"""The import of a bootstrapped base, with a tar and an engine that do what the test says."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry_service.images.base import import_root

Command = Callable[[str, str], Path]


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
