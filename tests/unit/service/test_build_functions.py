"""Functions that images are made with, where something keeps them from running at all."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.engine import FakeEngine
from tests.fakes.host import gpus_of
from wherry_proto.messages import FunctionSpec
from wherry_service.engines.containment import Containment
from wherry_service.images.errors import ImageBuildError
from wherry_service.images.functions import BuildFunctions


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (
            "python3: can't open file '/wherry/runner/wherry_runner/build_step.py': [Errno 2] No such file",
            "does not see this service's files or sockets: the engine is on another machine, or in a virtual machine. "
            "Run the service where the engine is, and point WHERRY_SERVER_URL at it",
        ),
        ('exec: "python3": executable file not found in $PATH', "needs Python 3.10 or newer in the image so far"),
        ("python3: can't open file '/mine.py': [Errno 2]", "failed: exit code: 2"),
    ],
)
def test_why_it_could_not_run_is_told(tmp_path: Path, says: str, told: str) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit 2\n")
    docker.chmod(0o755)
    functions = BuildFunctions(FakeEngine({}), tmp_path, None, None, {}, Containment(), gpus_of())  # type: ignore[arg-type]

    def ignore(*said: object) -> None:
        """Hear of no line and no step."""

    async def main() -> None:
        await functions.run(
            str(docker), "base", "tag", {"wherry.image": "im-1"}, FunctionSpec(name="fetch"), {}, ignore, ignore
        )

    with pytest.raises(ImageBuildError) as caught:
        asyncio.run(main())
    assert f"`run_function(fetch)` {told}" in caught.value.reason
    assert [path.name for path in tmp_path.iterdir()] == ["docker"]
