"""Starting, finding and reviving the local service: on a stand-in for its module."""

import importlib.metadata
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wherry._connection.installed import check_service_installed
from wherry._connection.server import MAX_RESTARTS, LocalServer
from wherry._connection.settings import Settings
from wherry.cli import server as commands
from wherry.cli.server import run as run_service
from wherry.exception import ConnectionError, Error
from wherry_proto.messages import HostLoad, Message, ServerInfo

STAND_IN = """
    import os, signal, socket, sys
    state = sys.argv[sys.argv.index("--state-dir") + 1]
    with open(state + "/started", "a") as file:
        file.write(f"{os.getpid()}\\n")
    if os.path.exists(state + "/broken"):
        sys.exit("no engine here")
    if os.path.exists(state + "/killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    path = state + "/wherry.sock"
    if os.path.exists(path):
        os.unlink(path)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(100)
    signal.pause()
"""


class Answers:
    """A transport to a service that is ready as soon as it listens."""

    def call(self, method: str, request: Message, timeout: float | None = None) -> Message:
        return ServerInfo()

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    module = tmp_path / "lib" / "wherry_service"
    module.mkdir(parents=True)
    (module / "__init__.py").write_text("")
    (module / "__main__.py").write_text(textwrap.dedent(STAND_IN))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    state = tmp_path / "state"
    yield state
    for pid in started(state):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def started(state: Path) -> list[int]:
    path = state / "started"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def server(state: Path, is_default: bool = True) -> LocalServer:
    return LocalServer(Settings(state, state / "wherry.sock", "main", is_default))


def test_started_once_by_many_at_once(state: Path) -> None:
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(server(state).ensure(Answers()))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == [False] * 4 + [True]
    assert len(started(state)) == 1
    assert state.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("starts", [True, False])
def test_that_it_starts_is_told_until_it_answers_or_fails(state: Path, starts: bool) -> None:
    told: list[str] = []

    class Waiting:
        def __init__(self, what: str) -> None:
            told.append(what)

        def end(self) -> None:
            told.append("end")

    local = server(state)
    local.waiting = Waiting
    if starts:
        local.ensure(Answers())
        # One that runs is not waited for.
        local.ensure(Answers())
    else:
        state.mkdir()
        (state / "broken").touch()
        with pytest.raises(ConnectionError):
            local.ensure(Answers())
    assert told == ["The service starts", "end"]


def test_one_that_does_not_start_is_explained_with_its_log(state: Path) -> None:
    state.mkdir()
    (state / "broken").touch()
    with pytest.raises(ConnectionError, match=r"code 1 (.|\n)*no engine here"):
        server(state).ensure(Answers())


def test_one_that_is_killed_as_it_starts_is_told_so_without_an_older_log(state: Path) -> None:
    state.mkdir()
    (state / "server.log").write_text("Traceback of a life before\n")
    (state / "killed").touch()
    with pytest.raises(ConnectionError) as caught:
        server(state).ensure(Answers())
    assert "the service was killed by signal 9 (SIGKILL) while starting; it wrote nothing into its log" in str(
        caught.value
    )
    assert "life before" not in str(caught.value)


def test_configured_one_is_never_started(state: Path) -> None:
    with pytest.raises(ConnectionError, match="WHERRY_SERVER_URL"):
        server(state, is_default=False).ensure(Answers())
    server(state, is_default=False).revive(Answers())
    assert not started(state)


def test_service_that_is_not_installed(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConnectionError, match=r"pip install 'wherry\[service\]'"):
        server(state).ensure(Answers())


def test_killed_service_is_revived_a_bounded_number_of_times(state: Path) -> None:
    local = server(state)
    local.ensure(Answers())
    for restarts in range(1, MAX_RESTARTS + 1):
        kill(started(state)[-1], local)
        local.revive(Answers())
        assert len(started(state)) == restarts + 1
    kill(started(state)[-1], local)
    with pytest.raises(Error, match="died again"):
        local.revive(Answers())


def test_service_that_was_stopped_in_order_is_left_alone(state: Path) -> None:
    local = server(state)
    local.ensure(Answers())
    kill(started(state)[-1], local)
    (state / "wherry.sock").unlink()
    local.revive(Answers())
    assert len(started(state)) == 1


def kill(pid: int, local: LocalServer) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not local.answers()


def test_state_directory_of_another_is_no_service(tmp_path: Path) -> None:
    path = tmp_path / "wherry.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert not server(tmp_path).answers()


def test_module_runs_without_the_current_directory(state: Path, tmp_path: Path) -> None:
    # A file named like a module of the standard library, where the user happens to be.
    (tmp_path / "socket.py").write_text("raise RuntimeError('shadowed')")
    code = (
        "from tests.unit.client.test_server import Answers, server; from pathlib import Path; "
        f"print(server(Path({str(state)!r})).ensure(Answers()))"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(Path(__file__).parents[3])])}
    run = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "True", run.stderr


@pytest.fixture
def bare_install(state: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The distributions that this installation seems to lack."""
    lacking: set[str] = set()
    real = importlib.metadata.distribution

    def distribution(name: str) -> importlib.metadata.Distribution:
        if name in lacking:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    return lacking


def test_a_client_installed_without_the_services_packages_says_so(state: Path, bare_install: set[str]) -> None:
    bare_install |= {"alembic", "docker", "obstore", "uvicorn", "uvloop", "websockets"}
    with pytest.raises(ConnectionError) as raised:
        server(state).ensure(Answers())
    assert "(alembic, docker, obstore, uvicorn and 2 more)" in str(raised.value)
    assert "pip install 'wherry[service]'" in str(raised.value)
    assert started(state) == []


def test_server_run_says_which_package_is_missing(bare_install: set[str]) -> None:
    bare_install.add("uvloop")
    with pytest.raises(ConnectionError, match=r"missing \(uvloop\)"):
        run_service(config=None, listen=None, dev_tls=False)


def test_sources_without_an_installation_are_no_reason_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    check_service_installed()


@pytest.mark.parametrize(("system", "name"), [("Darwin", "macOS"), ("Windows", "Windows")])
def test_elsewhere_than_on_linux_no_service_is_started(
    state: Path, monkeypatch: pytest.MonkeyPatch, system: str, name: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    for start in (
        check_service_installed,
        lambda: server(state).ensure(Answers()),
        lambda: run_service(None, None, False),
    ):
        with pytest.raises(ConnectionError, match=f"runs on Linux, and this is {name}: .* set WHERRY_SERVER_URL"):
            start()


def test_a_client_needs_nothing_that_windows_has_not() -> None:
    program = """
import os, signal, socket, sys
for name in ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None
for place, names in ((os, ("fork", "geteuid", "getuid", "register_at_fork")), (signal, ("SIGHUP", "SIGWINCH"))):
    for name in names:
        delattr(place, name)
import wherry, wherry.cli.main
for name in wherry.__all__:
    getattr(wherry, name)
del socket.AF_UNIX
sys.argv = ["wherry", "server", "status"]
wherry.cli.main.main()
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.startswith("No service is running")


@pytest.mark.parametrize(
    ("place", "why"), [("file", "File exists"), ("file/below", "Not a directory"), ("loop/below", "symbolic links")]
)
def test_a_state_directory_that_can_not_be_made_is_said(state: Path, place: str, why: str) -> None:
    # Sockets leave room for a short path alone.
    with tempfile.TemporaryDirectory() as short:
        (Path(short) / "file").touch()
        (Path(short) / "loop").symlink_to(Path(short) / "loop")
        with pytest.raises(ConnectionError, match=f"can't be made or written .*{why}.*: point WHERRY_STATE_DIR at"):
            server(Path(short) / place).ensure(Answers())
        ran = subprocess.run(
            [sys.executable, "-m", "wherry_service", "--state-dir", str(Path(short) / place)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )
    assert ran.returncode == 1
    assert ran.stderr.startswith("wherry: the state directory ")
    assert why in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_log_that_can_not_be_written_is_said(state: Path) -> None:
    (state / "server.log").mkdir(parents=True)
    with pytest.raises(ConnectionError, match=r"server\.log can't be made or written \(Is a directory\)"):
        server(state).ensure(Answers())


def test_the_service_of_another_user_is_no_service_that_is_down(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: socket.socket, address: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", connect)
    for asked in (server(state).answers, lambda: server(state).ensure(Answers())):
        with pytest.raises(ConnectionError, match=r"this user may not use .*, which belongs to another"):
            asked()
    assert started(state) == []


def test_the_status_tells_the_load(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    load = HostLoad(cores=4, free_cores=1.5, memory_mib=8000, free_memory_mib=1200, busy=0.337, num_waiting=1)
    monkeypatch.setattr(commands.LocalServer, "answers", lambda self: True)
    monkeypatch.setattr(commands, "_transport", lambda settings: None)
    monkeypatch.setattr(commands, "_info", lambda transport, with_engine: ServerInfo(version="1", load=load))
    commands.status(as_json=False)
    said = "1.5 of 4 cores and 1200 of 8000 MiB not reserved, processors 34% busy, 1 input waiting"
    assert f"Load: {said}\n" in capsys.readouterr().out
    commands.status(as_json=True)
    assert json.loads(capsys.readouterr().out)["load"] == {
        "cores": 4,
        "free_cores": 1.5,
        "memory_mib": 8000,
        "free_memory_mib": 1200,
        "busy": 0.337,
        "waiting": 1,
    }
