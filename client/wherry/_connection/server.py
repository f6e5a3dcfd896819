"""The local service: started when none is configured and none runs, and left running."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from wherry._connection.installed import check_service_installed
from wherry._connection.settings import Settings
from wherry._connection.transport.transport import Transport
from wherry._screen.output import NoProgress, Waiting
from wherry.exception import ConnectionError, Error
from wherry_proto.messages import ServerInfo, ServerInfoRequest

START_DEADLINE_S = 30.0
# A client that waits starts a service that died again, at most so often within so many seconds.
MAX_RESTARTS = 5
RESTARTS_WITHIN_S = 10.0
_LOG_TAIL = 20

_ELSEWHERE = "point WHERRY_STATE_DIR at a directory of yours"


class LocalServer:
    """The service that belongs to a state directory."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._restarts: list[float] = []
        # What shows that it is waited for.
        self.waiting: Callable[[str], Waiting] = lambda what: NoProgress()
        # How long the log was when the service was started here.
        self._log_began = 0

    @property
    def log_path(self) -> Path:
        """Where the service that is started here writes its log."""
        return self._settings.state_dir / "server.log"

    def answers(self) -> bool:
        """Whether someone listens on the socket; raise ConnectionError where this user may not ask."""
        if not hasattr(socket, "AF_UNIX"):  # Windows
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self._settings.socket))
            except PermissionError:
                raise ConnectionError(
                    f"this user may not use {self._settings.socket}, which belongs to another: {_ELSEWHERE}"
                ) from None
            except OSError:
                return False
        return True

    def ensure(self, transport: Transport) -> bool:
        """Start the service unless it runs; return whether it was started here.

        Raises ConnectionError, with the end of its log, when it does not answer within 30 s.
        """
        if self.answers():
            return False
        if not self._settings.is_default_server:
            raise ConnectionError(
                f"no service answers at {self._settings.socket} (WHERRY_SERVER_URL): start it, or unset the variable"
            )
        check_service_installed()
        with self._start_lock():
            # Another client may have started it while this one waited for the lock.
            if self.answers():
                return False
            starting = self.waiting("The service starts")
            try:
                self._wait(transport, self._begin())
            finally:
                starting.end()
        return True

    def revive(self, transport: Transport) -> None:
        """Start a service again that died (its socket is still there); one that was stopped in order stays so."""
        if self.answers() or not self._settings.is_default_server or not self._settings.socket.exists():
            return
        now = time.monotonic()
        self._restarts = [at for at in self._restarts if now - at < RESTARTS_WITHIN_S]
        if len(self._restarts) >= MAX_RESTARTS:
            raise Error(
                f"the service died again after {MAX_RESTARTS} restarts within {RESTARTS_WITHIN_S:.0f} s; "
                f"see its log: {self.log_path}"
            )
        started = True
        try:
            started = self.ensure(transport)
        finally:
            # Of the threads that noticed, one starts it.
            if started:
                self._restarts.append(now)

    def _told(self) -> str:
        """Return the last lines that the service wrote since it was started here: those before are another's."""
        try:
            with open(self.log_path, "rb") as log:
                # Less than there was: a new file has been begun.
                log.seek(self._log_began if log.seek(0, os.SEEK_END) >= self._log_began else 0)
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return f"it has no log ({self.log_path})"
        if not lines:
            return f"it wrote nothing into its log ({self.log_path})"
        return f"the end of its log ({self.log_path}):\n" + "\n".join(lines[-_LOG_TAIL:])

    @contextlib.contextmanager
    def _start_lock(self) -> Iterator[None]:
        import fcntl  # noqa: PLC0415 - not on Windows, where no service is started

        with self._writing():
            self._settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = open(self._settings.state_dir / "start.lock", "w")  # noqa: SIM115 - closed below
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConnectionError(
                f"the service can't be started: {error.filename or self._settings.state_dir} can't be made or written "
                f"({error.strerror}): {_ELSEWHERE}"
            ) from None

    def _begin(self) -> "subprocess.Popen[bytes] | None":
        """Have systemd start it, where it is a unit, or start it; return what was started here."""
        from wherry._connection.unit import Unit  # noqa: PLC0415 - start-up cost: only where a service is started

        unit = Unit(self._settings.state_dir)
        if unit.is_installed:
            with contextlib.suppress(OSError):
                self._log_began = self.log_path.stat().st_size
            if unit.start():
                return None
        return self._spawn()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        environ = dict(os.environ)
        if path := environ.get("PYTHONPATH"):
            environ["PYTHONPATH"] = os.pathsep.join(os.path.abspath(item) for item in path.split(os.pathsep) if item)
        # -P: a file in the current directory must not shadow the service's modules.
        command = [sys.executable, "-P", "-m", "wherry_service", "--state-dir", str(self._settings.state_dir)]
        with self._writing():
            log = open(self.log_path, "ab")  # noqa: SIM115 - closed below
        with log:
            self._log_began = log.tell()
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._settings.state_dir,
                env=environ,
                start_new_session=True,
            )

    def _wait(self, transport: Transport, process: "subprocess.Popen[bytes] | None") -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            if self.answers():
                try:
                    cast("ServerInfo", transport.call("Server.Info", ServerInfoRequest(), timeout=5))
                except ConnectionError:
                    pass  # it listens, and is not ready yet
                else:
                    if process is not None:
                        # It outlives us: nobody will wait for it, and Popen must not warn about that.
                        process.returncode = 0
                    return
            if process is not None and process.poll() not in (None, 0):
                raise ConnectionError(f"the service {_ended(process.returncode)} while starting; {self._told()}")
            time.sleep(0.01)
        raise ConnectionError(f"the service did not answer within {START_DEADLINE_S:.0f} s; {self._told()}")


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return f"was killed by signal {-code}"
