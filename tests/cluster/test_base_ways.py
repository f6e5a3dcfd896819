"""Base images made by each way on a real engine: they are alike to whoever builds on them. Each takes minutes."""

import asyncio
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.servers import ImageRegistry
from wherry_service.errors import Unready
from wherry_service.images import host
from wherry_service.images.base_ways import LOCALE, LOCALE_LABEL, WAY_LABEL, BaseWays, Wanted
from wherry_service.images.settings import ImageSettings

pytestmark = pytest.mark.timeout(900)

LOOK = """
import json, os, subprocess, sys, sysconfig
venv = subprocess.run([sys.executable, "-m", "venv", "/tmp/v"]).returncode
pip = subprocess.run(["pip", "--version"], capture_output=True).returncode
print(json.dumps([sys.version_info[:2], os.path.realpath("/usr/bin/python"), sysconfig.get_path("stdlib"), venv, pip,
                  os.path.exists("/etc/ssl/certs/ca-certificates.crt"), os.environ["LANG"]]))
"""
ALIKE = [[3, 11], "/usr/bin/python3.11", "/usr/lib/python3.11", 0, 0, True, LOCALE]


@pytest.fixture
def tag() -> Iterator[str]:
    made = f"wherry/base:test-{uuid.uuid4().hex[:12]}"
    yield made
    subprocess.run(["docker", "rmi", "--force", made], capture_output=True, check=False)


def make(tag: str, folder: Path, settings: ImageSettings) -> list[str]:
    """Make it; return what was said."""
    lines: list[str] = []

    async def main() -> None:
        await BaseWays(folder / "work", settings).make(
            Wanted("bookworm", "3.11", tag), await host.find_build_cli(), lines.append
        )

    asyncio.run(main())
    assert list((folder / "work").iterdir()) == []
    return lines


def look(tag: str) -> tuple[Any, dict[str, str]]:
    """Return what a program finds in the image, and its labels."""
    command = ["docker", "run", "--rm", "--network=none", tag, "python3", "-c", LOOK]
    seen = subprocess.run(command, capture_output=True, text=True, check=True)
    found = subprocess.run(["docker", "image", "inspect", tag], capture_output=True, text=True, check=True)
    return json.loads(seen.stdout), json.loads(found.stdout)[0]["Config"]["Labels"]


def test_a_user_without_root_and_without_debootstrap(tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise Unready("there is none")

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(host, "debootstrap", none)
    # No registry has it, so the next way is taken.
    lines = make(tag, tmp_path, ImageSettings(base_image="127.0.0.1:1/debian:{suite}"))
    assert lines[1].startswith("no registry gave 127.0.0.1:1/debian:bookworm")
    assert "fetching debootstrap, which is not installed here" in lines
    assert look(tag) == (ALIKE, {"wherry.kind": "base", LOCALE_LABEL: LOCALE, WAY_LABEL: "container"})
    for left in (
        ["ps", "-a", "-q", "--filter", "label=wherry.kind=base-maker"],
        ["images", "-q", "wherry/host-programs"],
    ):
        assert subprocess.run(["docker", *left], capture_output=True, check=True).stdout == b""


@pytest.mark.parametrize("has_python", [True, False])
def test_a_registry_of_ones_own(tag: str, tmp_path: Path, has_python: bool) -> None:
    lacks = (
        "" if has_python else "RUN apt-get purge -y -qq python3 python3-pip python3-venv && apt-get autoremove -y -qq\n"
    )
    (tmp_path / "theirs").mkdir()
    text = f'FROM wherry/base:bookworm\n{lacks}USER nobody\nENTRYPOINT ["/bin/false"]\n'
    (tmp_path / "theirs" / "Dockerfile").write_text(text)
    with ImageRegistry(tmp_path / "registry").serving() as address:
        theirs = f"{address}/debian:bookworm-slim"
        env = {**os.environ, "DOCKER_BUILDKIT": "1"}
        for command in (
            ["build", "-q", f"--tag={theirs}", str(tmp_path / "theirs")],
            ["push", "-q", theirs],
            ["rmi", theirs],
        ):
            subprocess.run(
                [asyncio.run(host.find_build_cli()).docker, *command], env=env, capture_output=True, check=True
            )
        try:
            lines = make(tag, tmp_path, ImageSettings(base_image=address + "/debian:{suite}-slim"))
        finally:
            subprocess.run(["docker", "rmi", "--force", theirs], capture_output=True, check=False)
    assert lines == [f"making the base image from {theirs} of a registry, once (about half a minute)"]
    found, labels = look(tag)
    assert found == ALIKE
    assert {"wherry.kind": "base", LOCALE_LABEL: LOCALE, WAY_LABEL: "registry"}.items() <= labels.items()
