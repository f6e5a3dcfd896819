"""A service beside the one that all tests share: with settings, an engine or a disk of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.service import OwnService


class Elsewhere:
    """A service of its own, with settings of its own, used through the command line."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.service = OwnService(folder)
        self._variables = variables

    def __enter__(self) -> "Elsewhere":
        self.start()
        return self

    def start(self) -> None:
        """Start the service, also after it was killed."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self._variables.items():
                patch.setenv(name, value)
            self.service.start()

    def __exit__(self, *exc: object) -> None:
        self.service.stop()
        shutil.rmtree(self.service.state_dir)

    def wherry(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of its command line."""
        return self._run("-m", "wherry.cli.main", *arguments)

    def program(self, text: str) -> str:
        """Run a program that uses it; return what it prints. One that fails fails the test."""
        ran = self._run("-c", text)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its clients, and of a service that a client starts."""
        return {**os.environ, **self._variables, "WHERRY_STATE_DIR": str(self.service.state_dir)}

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=110, check=False)


@contextmanager
def elsewhere(**variables: str) -> Iterator[Elsewhere]:
    with Elsewhere(Path(tempfile.mkdtemp(prefix="wherry-")), variables) as found:
        yield found
