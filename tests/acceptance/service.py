"""A service of the tests' own, in a state directory of its own, on the real engine."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import NotFound

from tests.waiting import wait_until
from wherry._connection import client


@contextmanager
def own_service(prefix: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> "Iterator[OwnService]":
    """A running service with its own state; the SDK in this process and in its children talks to it meanwhile.

    `environment`: more variables, for this process, and so for the service.
    """
    # Short: the path of a Unix socket has at most 107 characters.
    state_dir = Path(tempfile.mkdtemp(prefix="wherry-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHERRY_STATE_DIR", str(state_dir))
        patch.delenv("WHERRY_SERVER_URL", raising=False)
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        # One client of each address is kept, and this one may be another service's, which has gone.
        client._client_of.cache_clear()
        service = OwnService(state_dir, prefix)
        service.start()
        try:
            yield service
        finally:
            client.default_client().close()
            client._client_of.cache_clear()
            service.stop()
            shutil.rmtree(state_dir)


def give_time(items: Iterable[pytest.Item], here: Path, seconds: float) -> None:
    """Measure the timeout of the tests below a folder over the tests alone: the first fixture may make a base image."""
    for item in items:
        if item.path.is_relative_to(here) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(seconds, func_only=True))


class OwnService:
    """Runs `wherry_service`, and looks through the engine's eyes at what it made."""

    def __init__(self, state_dir: Path, prefix: Sequence[str] = ()) -> None:
        """`prefix`: what runs its command, such as nsenter."""
        self.state_dir = state_dir
        self._prefix = prefix
        # As the node agent computes the label of what it makes.
        self.instance = hashlib.sha256(str((state_dir / "run").resolve()).encode()).hexdigest()[:12]
        self._engine = docker.from_env()

    # The process

    def start(self, *options: str) -> None:
        """Start the service, and wait until it listens."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        command = [*self._prefix, sys.executable, "-m", "wherry_service", "--state-dir", str(self.state_dir), *options]
        with open(self.state_dir / "server.log", "ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(
            lambda: (self.state_dir / "local.sock").exists() or process.poll() is not None,
            "the service has made its socket",
        )
        assert process.poll() is None, self.log()
        # It may be killed, or replaced by the client: nobody waits for this very process.
        process.returncode = 0

    @property
    def holder(self) -> int | None:
        """The process that holds the lock now, if one does. Asked without taking it: a start must not fail by that."""
        lock = (self.state_dir / "server.lock").stat()
        wanted = f":{lock.st_ino} "
        for line in Path("/proc/locks").read_text().splitlines():
            if "FLOCK" in line and "->" not in line and wanted in line:
                return int(line.split()[4])
        return None

    @property
    def pid(self) -> int:
        """The process that holds the lock now."""
        pid = self.holder
        assert pid is not None, "no service holds the lock of the state directory"
        return pid

    def reset_peak_kib(self) -> int:
        """Return how many KiB of memory its process has now, and count its peak from here on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self.peak_kib()

    def peak_kib(self) -> int:
        """Return the most memory that its process has had, in KiB."""
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(peak)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    @property
    def is_running(self) -> bool:
        return self.holder is not None

    def stop(self) -> None:
        """End the service in order, and check that nothing of it is left."""
        if self.is_running:
            self.signal(signal.SIGTERM)
            wait_until(lambda: not self.is_running, f"the service has stopped\n{self.log()}", 60)
        left = self.containers()
        for container in left:
            self._engine.api.remove_container(container["Id"], force=True)
        self._engine.close()
        assert left == [], f"the service left containers behind\n{self.log()}"
        assert list((self.state_dir / "run").iterdir()) == []
        assert not (self.state_dir / "local.sock").exists()

    def log(self) -> str:
        """The end of the service's log."""
        return (self.state_dir / "server.log").read_text(errors="replace")[-8000:]

    # The engine

    def containers(self, **labels: str) -> list[dict[str, Any]]:
        """Containers of this service, running or not, with these labels: `app=`, `function=`, `container=`."""
        wanted = [f"wherry.instance={self.instance}", *(f"wherry.{name}={value}" for name, value in labels.items())]
        found: list[dict[str, Any]] = self._engine.api.containers(all=True, filters={"label": wanted})
        return found

    def container_at(self, hostname: str) -> dict[str, Any]:
        """The container with that host name, as code within it sees it."""
        (found,) = [container for container in self.containers() if container["Id"].startswith(hostname)]
        return found

    def host_config(self, hostname: str) -> dict[str, Any]:
        """What the engine was asked for, for the container with that host name."""
        found: dict[str, Any] = self._engine.api.inspect_container(self.container_at(hostname)["Id"])["HostConfig"]
        return found

    def kill_container(self, hostname: str) -> None:
        """Kill it as the kernel would: without a word."""
        self._engine.api.kill(self.container_at(hostname)["Id"])

    def has_file(self, engine_id: str, path: str) -> bool:
        """Whether there is such a file inside a container."""
        try:
            stream, _ = self._engine.api.get_archive(engine_id, path)
        except NotFound:
            return False
        for _ in stream:
            pass
        return True
