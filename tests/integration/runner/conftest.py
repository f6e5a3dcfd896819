"""Every test here runs once for each Python that is on the PATH."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.runner.scripted_agent import ScriptedAgent

VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def _pythons() -> dict[str, str]:
    """Interpreters by version, real paths; the one that runs the tests is always among them."""
    found: dict[str, str] = {}
    for version in VERSIONS:
        path = shutil.which(f"python{version}")
        if path is None:
            continue
        asked = subprocess.run(
            [path, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=False
        )
        if asked.returncode == 0:
            found[version] = asked.stdout.strip()
    found.setdefault("{}.{}".format(*sys.version_info), sys.executable)
    return found


PYTHONS = _pythons()


@pytest.fixture(params=sorted(PYTHONS))
def agent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ScriptedAgent]:
    agent = ScriptedAgent(tmp_path, PYTHONS[request.param])
    yield agent
    agent.end()
