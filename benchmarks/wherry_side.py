"""What is measured of Wherry itself."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from wherry_proto import codec
from wherry_proto.messages import ServerInfo, ServerInfoRequest
from wherry_proto.services import METHODS

READY_DEADLINE_S = 30.0


def proportional_set_mib(pid: int) -> float:
    """Return the memory of a process in MiB, pages it shares counted by their share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no Pss of process {pid}")


def server_info(state_dir: Path) -> ServerInfo | None:
    """Ask the service of that directory about itself; None when it does not answer."""
    method = METHODS["Server.Info"]
    with grpc.insecure_channel(f"unix:{state_dir / 'wherry.sock'}") as channel:
        ask = channel.unary_unary(method.path, codec.serialize, lambda data: codec.deserialize(ServerInfo, data))
        try:
            info: ServerInfo = ask(ServerInfoRequest(), timeout=2)
        except grpc.RpcError:
            return None
    return info


@contextmanager
def running_service(state_dir: Path) -> Iterator[tuple[int, float]]:
    """Start a service; give its process id and the seconds until it answered."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "wherry_service", "--state-dir", str(state_dir)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        socket = state_dir / "wherry.sock"
        while not socket.exists() or server_info(state_dir) is None:
            if process.poll() is not None or time.perf_counter() - began > READY_DEADLINE_S:
                raise RuntimeError("the service did not start")
            time.sleep(0.002)
        yield process.pid, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(60)


def measure_service(rounds: int) -> tuple[list[float], float]:
    """Return the seconds from start to first answer, per round, and the idle memory in MiB."""
    ready: list[float] = []
    memory = 0.0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="wherry-bench-") as directory:
            state_dir = Path(directory)
            # The first start of a directory makes its database; a laptop's service has one.
            with running_service(state_dir):
                pass
            with running_service(state_dir) as (pid, seconds):
                ready.append(seconds)
                memory = proportional_set_mib(pid)
    return ready, memory


def idle_container_mib(function_id: str) -> float:
    """Return the memory that the kernel charges to the function's one container, in MiB."""
    import docker  # noqa: PLC0415 - only for memory and names of containers: the rest does without an engine

    client = docker.APIClient(**docker.utils.kwargs_from_env())
    (row,) = client.containers(filters={"label": f"wherry.function={function_id}"})
    stats = client.stats(row["Id"], stream=False)["memory_stats"]
    detail = stats.get("stats", {})
    return (stats["usage"] - detail.get("total_inactive_file", detail.get("inactive_file", 0))) / (1 << 20)


def image_reference(function_id: str) -> str:
    """Return the image that the function's containers are made from."""
    import docker  # noqa: PLC0415 - only for memory and names of containers: the rest does without an engine

    client = docker.APIClient(**docker.utils.kwargs_from_env())
    row = client.containers(filters={"label": f"wherry.function={function_id}"})[0]
    return str(row["Image"])


@contextmanager
def own_state_dir() -> Iterator[Path]:
    """Have the SDK use a service of the bench's own."""
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as directory:
        os.environ["WHERRY_STATE_DIR"] = directory
        try:
            yield Path(directory)
        finally:
            subprocess.run(
                [sys.executable, "-m", "wherry.cli.main", "server", "stop"], check=False, capture_output=True
            )
