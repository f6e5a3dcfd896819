"""An agent that does what a test says: a real socket on one side, the real runner as a process on the other."""

import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.fakes.values import Values
from tests.frames import complaint
from wherry._connection.rebuilt import Rebuilt
from wherry_runner import frames
from wherry_service.node.runner_protocol import FROM_RUNNER

RUNNER = Path(frames.__file__).with_name("__main__.py")
DEADLINE_S = 20.0


class ScriptedAgent:
    """Frames that come are kept in `seen`, in order; `until` reads on until something is so."""

    def __init__(self, directory: Path, python: str) -> None:
        self.directory = directory
        self.python = python
        self.seen: list[tuple[dict[str, Any], list[bytes]]] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.connection: socket.socket | None = None
        self._decoder = frames.Decoder()
        self._next_input = 0
        for name in ("source", "in", "values", "sdk"):
            (directory / name).mkdir()
        self._values: Values | None = None
        self.receive_values()
        self.listen()

    # The runner's life

    def listen(self) -> None:
        path = self.directory / "runner.sock"
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(DEADLINE_S)

    def receive_values(self, **limits: int) -> None:
        """Receive values over a socket of their own, as the real agent does."""
        self._values = Values(self.directory, **limits)

    def stop_receiving(self) -> None:
        """Hang up on values as well."""
        if self._values is not None:
            self._values.close()
            self._values = None

    def begin(self) -> dict[str, Any]:
        """Start the runner and return its hello."""
        command = [self.python, str(RUNNER), str(self.directory), str(self.directory / "sdk")]
        with (self.directory / "own.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory)
        return self.accept()

    def accept(self) -> dict[str, Any]:
        if self.connection is not None:
            self.connection.close()
        self.connection, _ = self._listener.accept()
        self.connection.settimeout(0.05)
        self._decoder = frames.Decoder()
        hello = self.until(lambda: self._last("hello"))
        self.send({"t": "welcome", "protocol": 1, "container_id": "co-1"})
        return hello[0]

    def hang_up(self, listen: bool = True) -> None:
        """Drop the connection, as a service that is killed does."""
        assert self.connection is not None
        if not listen:
            self._listener.close()
            (self.directory / "runner.sock").unlink()
        self.connection.close()

    def load(self, source: str, qualname: str = "f", wait: bool = True, **options: Any) -> None:
        """Begin, with `source` as the user's module."""
        (self.directory / "source" / "job.py").write_text(textwrap.dedent(source))
        self.begin()
        self.send_load(qualname, **options)
        if wait:
            self.until(lambda: self._last("ready"))

    def send_load(self, qualname: str = "f", serialized: bytes = b"", **options: Any) -> None:
        function = {
            "name": qualname,
            "function_id": "fu-1",
            "app_id": "ap-1",
            "module": options.pop("module", "job"),
            "qualname": qualname,
            "is_generator": options.pop("is_generator", False),
            "is_async": options.pop("is_async", False),
            "python": options.pop("python", ""),
        }
        header = {"t": "load", "function": function, "concurrency": 1, "timeout_s": 60, "startup_timeout_s": 60}
        self.send({**header, "env": {}, **options}, [serialized])

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.connection is not None:
            self.connection.close()
        self._listener.close()
        self.stop_receiving()

    def exit_code(self) -> int:
        assert self.process is not None
        return self.process.wait(DEADLINE_S)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    @property
    def own_log(self) -> str:
        return (self.directory / "own.log").read_text()

    # Frames

    def send(self, header: dict[str, Any], parts: Sequence[bytes] = ()) -> None:
        assert self.connection is not None
        # As the real agent, it goes on reading while it can't write: else the two may wait for each other.
        rest = memoryview(frames.encode(header, parts))
        end = time.monotonic() + DEADLINE_S
        while rest:
            readable, writable, _ = select.select([self.connection], [self.connection], [], 0.05)
            if readable:
                self.read()
            if writable:
                try:
                    rest = rest[self.connection.send(rest, socket.MSG_DONTWAIT) :]
                except BlockingIOError:
                    continue
            if time.monotonic() > end:
                raise AssertionError(f"the runner did not read for {DEADLINE_S} s; its log: {self.own_log}")

    def give(
        self,
        *calls: tuple[Any, ...],
        input_ids: Sequence[str] = (),
        keep: bool = False,
        runs: Sequence[int] = (),
        **kwargs: Any,
    ) -> list[str]:
        """Send inputs, one for each tuple of arguments, in one frame; return their ids."""
        ids = list(input_ids)
        for _ in calls[len(ids) :]:
            self._next_input += 1
            ids.append(f"in-{self._next_input}")
        parts = [pickle.dumps((args, kwargs), 5) for args in calls]
        rows = [[input_id, "fc-1", 1, None] for input_id in ids]
        header = {"t": "inputs", "rows": rows, **({"keep": ids} if keep else {}), **({"runs": runs} if runs else {})}
        self.send(header, parts)
        return ids

    def take_values(self, **below: int) -> None:
        self.send({"t": "taken", "rows": [[name.replace("_", "-"), index] for name, index in below.items()]})

    def read(self) -> bool:
        """Read what is there, waiting a little; False: the runner has hung up."""
        assert self.connection is not None
        try:
            data = self.connection.recv(1 << 20)
        except TimeoutError:
            return True
        for header, parts in self._decoder.feed(data):
            assert complaint(FROM_RUNNER, header, parts) == ""
            self.seen.append((header, parts))
        return bool(data)

    def until(self, found: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
        """Read on until `found()` is true, and return what it returned."""
        end = time.monotonic() + deadline_s
        while not (result := found()):
            more = self.read()
            if not more and not found():
                raise AssertionError(f"the runner hung up; its log: {self.own_log}; seen: {self.seen[-5:]!r:.2000}")
            if time.monotonic() > end:
                raise AssertionError(f"not seen in {deadline_s} s; seen: {self.seen[-5:]!r:.2000}; log: {self.own_log}")
        return result

    def quiet_for(self, seconds: float) -> None:
        """Read for that long: to see that something does not come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read()

    def _last(self, kind: str) -> tuple[dict[str, Any], list[bytes]] | None:
        return next((frame for frame in reversed(self.seen) if frame[0]["t"] == kind), None)

    def frame(self, kind: str) -> tuple[dict[str, Any], list[bytes]]:
        """Wait for a frame of that type and return the last one."""
        return self.until(lambda: self._last(kind))

    # What has been seen

    def outputs(self) -> dict[str, Any]:
        """Values by input, of `outputs` frames."""
        return {
            row[0]: pickle.loads(self._payload(row[2], part))
            for header, parts in self.seen
            if header["t"] == "outputs"
            for row, part in zip(header["rows"], parts, strict=True)
        }

    def output_rows(self) -> list[list[Any]]:
        return [row for header, _ in self.seen if header["t"] == "outputs" for row in header["rows"]]

    def yields(self, input_id: str) -> list[Any]:
        return [
            pickle.loads(part)
            for header, parts in self.seen
            if header["t"] == "yields"
            for row, part in zip(header["rows"], parts, strict=True)
            if row[0] == input_id
        ]

    def failures(self) -> dict[str, dict[str, Any]]:
        return {header["input"]: header for header, _ in self.seen if header["t"] == "failure"}

    def lines(self, stream: int | None = None) -> list[tuple[str | None, str]]:
        """(input, line) in order."""
        return [
            (row[1], part.decode())
            for header, parts in self.seen
            if header["t"] == "log"
            for row, part in zip(header["rows"], parts, strict=True)
            if stream is None or row[0] == stream
        ]

    def value(self, input_id: str) -> Any:
        """Wait for that input's value."""
        self.until(lambda: input_id in self.answered())
        assert input_id not in self.failures(), self.failures()[input_id]
        return self.outputs()[input_id]

    def failure(self, input_id: str) -> dict[str, Any]:
        self.until(lambda: input_id in self.answered())
        return self.failures()[input_id]

    def exception(self, input_id: str) -> BaseException:
        """Wait for that input's failure, and return the exception as its caller gets it."""
        self.failure(input_id)
        part = next(p for h, p in self.seen if h["t"] == "failure" and h["input"] == input_id)
        return Rebuilt(pickle.loads(part[0]), str).error

    def answered(self) -> set[str]:
        return {row[0] for row in self.output_rows()} | set(self.failures())

    def _payload(self, name: str | None, part: bytes) -> bytes:
        return part if name is None else (self.directory / "values" / name).read_bytes()


@contextlib.contextmanager
def in_path(directory: Path) -> Any:
    """Import from there for a while."""
    import sys

    sys.path.insert(0, os.fspath(directory))
    try:
        yield
    finally:
        sys.path.remove(os.fspath(directory))
