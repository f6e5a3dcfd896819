"""Ignore patterns against Docker's own: the same tree and the same patterns, built by the engine."""

import asyncio
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from wherry._base.walk import walk
from wherry._publish.local_files import docker_ignored
from wherry_service.images.host import find_build_cli

NAMES = ("a", "b.py", "foo.txt", "x.y", "[slug].js", "!oo", "c d", "$v")
PARTS = (
    "*",
    "**",
    "?",
    "a",
    "b.py",
    "*.py",
    "[a-f]*",
    "[^a]*",
    "f?o.txt",
    "\\[slug\\].js",
    ".",
    "..",
    "c d",
    "$v",
    "x.y",
)
FIXED = (
    ["*"], ["*", "!a"], ["*", "!**/*.py"], ["a/*"], ["a/"], ["/a"], ["a//b.py"], ["a/../foo.txt"], ["**"], ["**/a"],
    ["a/**", "!a/a/b.py"], ["[!f]oo.txt"], [" foo.txt "], ["# foo.txt", "#"],
)  # fmt: skip


def tree(root: Path) -> None:
    for first in NAMES:
        (root / "deep" / first).parent.mkdir(exist_ok=True)
        (root / "deep" / first).touch()
    for folder in ("a", "a/a", "c d"):
        (root / folder).mkdir()
        for name in NAMES[1:]:
            if not (root / folder / name).exists():
                (root / folder / name).touch()
    for name in NAMES[1:]:
        if not (root / name).exists():
            (root / name).touch()


def drawn(number: int) -> list[str]:
    draw = random.Random(number)
    return [
        draw.choice(("", "", "!", "/")) + "/".join(draw.choice(PARTS) for _ in range(draw.randint(1, 3)))
        for _ in range(draw.randint(1, 4))
    ]


@pytest.fixture(scope="module")
def build() -> list[str]:
    """A command that builds with BuildKit, to a directory."""
    return [word for word in asyncio.run(find_build_cli()).build if word != "--load"]


@pytest.mark.parametrize("patterns", [*FIXED, *map(drawn, range(int(os.environ.get("WHERRY_FUZZ", "10"))))], ids=repr)
def test_docker_leaves_out_the_same(patterns: list[str], tmp_path: Path, build: list[str]) -> None:
    context = tmp_path / "context"
    context.mkdir()
    tree(context)
    (context / ".dockerignore").write_text("".join(f"{pattern}\n" for pattern in patterns))
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    out = tmp_path / "out"
    built = subprocess.run(
        [*build, "-q", "-f", str(tmp_path / "Dockerfile"), "-o", f"type=local,dest={out}", str(context)],
        capture_output=True, text=True, check=False, env=os.environ | {"DOCKER_BUILDKIT": "1"},
    )  # fmt: skip
    ours = set(walk(context, docker_ignored(str(context), ())))
    if built.returncode:
        # An empty context can't be copied, which Docker says; other refusals are about the patterns.
        assert not ours, built.stderr
        return
    docker = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    shutil.rmtree(out)
    if any(pattern.startswith("!") and set(pattern) & set("*?[") for pattern in patterns):
        # Engines before 23.0 do not look into a directory for what only a wildcard brings back.
        assert docker <= ours
    else:
        assert ours == docker
