"""What is compared with: a process pool, the bare engine, a file copy, a bare interpreter."""

import concurrent.futures
import multiprocessing.pool
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cloudpickle

ANSWER = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/answer/sock'); s.send(b'x')"


def pool_noop(data: bytes) -> None:
    """Do nothing, in another process."""


def pool_apply_async(pool: multiprocessing.pool.Pool, count: int, data: bytes) -> None:
    """Run `count` no-ops through a process pool, one task each."""
    for result in [pool.apply_async(pool_noop, (data,)) for _ in range(count)]:
        result.get()


class BareEngine:
    """Containers made by create and start alone, until a Python in them answers on a mounted socket."""

    def __init__(self, image: str, first: str = "pass", binds: Mapping[str, str] | None = None) -> None:
        import docker  # noqa: PLC0415 - as in wherry_side

        self._client = docker.APIClient(**docker.utils.kwargs_from_env())
        self._image = image
        # What its Python does before it answers, and what is mounted for that.
        self._code = f"{first}\n{ANSWER}"
        self._binds = [f"{source}:{place}" for source, place in (binds or {}).items()]

    def start_and_answer(self) -> None:
        """Create and start one container and wait for its word."""
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as server:
            server.bind(f"{directory}/sock")
            server.listen(1)
            server.settimeout(60)
            container = self._create(directory)
            self._client.start(container)
            connection, _ = server.accept()
            connection.close()
            self._made = container

    def start(self) -> None:
        """Create and start one container, and wait for no more than Docker's answer."""
        config: dict[str, Any] = {
            "Image": self._image,
            "Entrypoint": [],
            "Cmd": ["sleep", "1000"],
            "HostConfig": {"Init": True, "NetworkMode": "bridge"},
        }
        name = f"wherry-bench-{uuid.uuid4().hex[:12]}"
        self._made = str(self._client.create_container_from_config(config, name)["Id"])
        self._client.start(self._made)

    def remove_last(self) -> None:
        """Remove what `start_and_answer` or `start` made; not part of what is timed."""
        self._client.remove_container(self._made, force=True, v=True)

    def start_many(self, count: int) -> float:
        """Start `count` at once and return the seconds until all have answered."""
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as server:
            server.bind(f"{directory}/sock")
            server.listen(count)
            server.settimeout(60)
            began = time.perf_counter()
            with concurrent.futures.ThreadPoolExecutor(count) as threads:
                made = [threads.submit(self._create_and_start, directory) for _ in range(count)]
                for _ in range(count):
                    connection, _ = server.accept()
                    connection.close()
                seconds = time.perf_counter() - began
            for future in made:
                self._client.remove_container(future.result(), force=True, v=True)
        return seconds

    def _create_and_start(self, directory: str) -> str:
        container = self._create(directory)
        self._client.start(container)
        return container

    def _create(self, directory: str) -> str:
        config: dict[str, Any] = {
            "Image": self._image,
            "Entrypoint": [],
            "Cmd": ["python3", "-c", self._code],
            "HostConfig": {"Init": True, "NetworkMode": "bridge", "Binds": [f"{directory}:/run/answer", *self._binds]},
        }
        return str(self._client.create_container_from_config(config, f"wherry-bench-{uuid.uuid4().hex[:12]}")["Id"])


def file_copy_twice(data: bytes, directory: Path) -> None:
    """What a payload costs at the least: pickled, written, read and unpickled, there and back."""
    for name in ("there", "back"):
        path = directory / name
        path.write_bytes(cloudpickle.dumps(data))
        data = cloudpickle.loads(path.read_bytes())
        path.unlink()


def import_time(statement: str) -> None:
    """Run an interpreter that does one statement."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-c", statement], check=True, env=environment)
