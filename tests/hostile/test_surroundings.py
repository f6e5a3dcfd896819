"""What a container finds of the host around it: processes, files, sockets, memory that is shared."""

import ctypes
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.service import OwnService
from tests.hostile.places import FunctionPlace, Place

TEXT = "the host's own canary"


@pytest.fixture(scope="module")
def canary() -> Iterator[Path]:
    """A file of the host that everyone on it may read."""
    with tempfile.TemporaryDirectory(prefix="canary-") as folder:
        path = Path(folder) / "canary"
        path.write_text(TEXT)
        Path(folder).chmod(0o755)
        yield path
        assert path.read_text() == TEXT


def through_processes(path: str) -> list[str]:
    """Look for a file of the host through every process that is to be seen."""
    import contextlib
    import os

    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        ways = [f"/proc/{pid}/root", f"/proc/{pid}/cwd"]
        ways += [f"/proc/{pid}/task/{pid}/root", f"/proc/{pid}/root/proc/1/root"]
        with contextlib.suppress(OSError):
            ways += [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
        for way in ways:
            for place in (f"{way}{path}", f"{way}/..{path}", f"{way}/../../../../..{path}"):
                if os.path.exists(place):
                    found.append(place)
    return found


def test_no_process_leads_to_the_hosts_files(place: Place, canary: Path) -> None:
    assert place.attack(through_processes, str(canary), timeout_s=30).value == []
    # The way works where there is something to be found.
    assert place.attack(through_processes, "/etc/hostname", timeout_s=30).value


def processes() -> list[list[str]]:
    import os

    return [
        [pid, open(f"/proc/{pid}/cmdline").read().replace("\0", " ")]
        for pid in os.listdir("/proc")
        if pid.isdigit() and os.path.exists(f"/proc/{pid}/cmdline")
    ]


def test_processes_of_the_host_are_not_seen(place: Place, service: OwnService) -> None:
    seen = place.attack(processes).value
    assert seen
    for word in ("dockerd", "wherry_service", "containerd", "pytest"):
        assert not [line for line in seen if word in line[1]], seen


def signal_to(pid: int) -> None:
    import os

    os.kill(pid, 0)


def test_the_service_can_not_be_signalled(place: Place, service: OwnService) -> None:
    # Of its own name space, in which so large a number is nobody's.
    got = place.attack(signal_to, service.pid)
    assert got.error in ("ProcessLookupError", "PermissionError") or service.pid < 2000, got
    assert service.is_running


def read_memory(pid: int) -> int:
    with open(f"/proc/{pid}/mem", "rb") as file:
        file.seek(1 << 22)
        return len(file.read(16))


def test_memory_of_the_services_process_is_not_there(place: Place, service: OwnService) -> None:
    assert place.attack(read_memory, service.pid).refused
    assert place.attack(read_memory, 1 << 22).error == "FileNotFoundError"


def connect(address: str) -> str:
    import socket

    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(address.replace("@", "\0"))
        return asked.recv(100).decode()


def test_an_abstract_socket_of_the_host_is_out_of_reach(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        name = f"wherry-canary-{os.getpid()}"
        server.bind(f"\0{name}")
        server.listen()
        with socket.socket(socket.AF_UNIX) as own:
            own.connect(f"\0{name}")
        got = place.attack(connect, f"@{name}")
        assert got.error == "ConnectionRefusedError", got


@pytest.mark.parametrize("name", ["wherry.sock", "local.sock"])
def test_the_services_own_sockets_are_not_there(place: Place, service: OwnService, name: str) -> None:
    got = place.attack(connect, str(service.state_dir / name))
    assert got.error == "FileNotFoundError", got


@pytest.mark.parametrize("path", ["/var/run/docker.sock", "/run/containerd/containerd.sock"])
def test_the_engines_sockets_are_not_there(place: Place, path: str) -> None:
    got = place.attack(connect, path)
    assert got.error == "FileNotFoundError", got


def shared_memory(key: int) -> int:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.shmget(key, 0, 0)
    if found < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    return int(found)


def test_memory_that_the_host_shares_is_not_there(place: Place) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x77680000 | os.getpid() & 0xFFFF
    made = libc.shmget(key, 4096, 0o1666)
    assert made >= 0
    try:
        assert libc.shmget(key, 0, 0) == made
        assert place.attack(shared_memory, key).error == "FileNotFoundError"
    finally:
        libc.shmctl(made, 0, None)


def test_nothing_of_the_host_is_mounted_writable(place: Place, service: OwnService) -> None:
    lines = [line.split() for line in place.attack("cat /proc/self/mountinfo").value[1].splitlines()]
    for line in lines:
        place_inside, options = line[4], line[5].split(",")
        if str(service.state_dir) in line[3] or place_inside.startswith(("/run/wherry", "/wherry")):
            # Volumes are there to be written; a build's jobs come in one.
            assert "ro" in options or place_inside == "/jobs", line


def test_variables_tell_no_secret_of_the_service(place: Place, service: OwnService) -> None:
    said = place.attack("cat /proc/*/environ | tr '\\0' '\\n'").value[1]
    assert "PATH=" in said
    for word in ("WHERRY_STATE_DIR", "DOCKER_HOST", "WHERRY_SECRET_KEY", str(service.state_dir)):
        assert word not in said


def test_what_a_build_or_a_sandbox_is_given_is_no_socket(places: dict[str, Place]) -> None:
    for name in ("sandbox", "build"):
        said = places[name].attack("find /run /tmp /var/run -type s 2>/dev/null || true").value
        assert said == [0, ""], (name, said)


def test_a_core_stays_in_the_container(function: FunctionPlace, canary: Path) -> None:
    # core_pattern is the host's, and may name a program: it is given no path of the container's choice.
    got = function.attack(crash, str(canary))
    assert got.value == -6, got
    assert not (canary.parent / "core").exists()


def crash(path: str) -> int:
    import os
    import resource
    import subprocess
    import sys

    def unlimited() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, resource.getrlimit(resource.RLIMIT_CORE))

    os.makedirs("/tmp" + os.path.dirname(path), exist_ok=True)
    program = [sys.executable, "-c", "import os; os.abort()"]
    return subprocess.run(program, preexec_fn=unlimited, cwd="/tmp", check=False, capture_output=True).returncode


def exhaust_processes(most: int) -> int:
    import contextlib
    import os
    import signal

    children = []
    with contextlib.suppress(BlockingIOError):
        for _ in range(most):
            if not (pid := os.fork()):
                signal.pause()
                os._exit(0)
            children.append(pid)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)
    return len(children)


def test_processes_without_end_end(place: Place, runtime: str) -> None:
    if runtime == "runsc":
        pytest.skip("gVisor runs without cgroups here, which are what limits processes")
    got = place.attack(exhaust_processes, 6000, timeout_s=60)
    assert got.value is not None, got
    assert got.value < 4200
    # Others go on.
    assert subprocess.run([sys.executable, "-c", ""], check=False).returncode == 0
