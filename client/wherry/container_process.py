"""Commands that were started inside a running container."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from wherry._base.blocking import blocking
from wherry._base.waiting import in_thread
from wherry.exception import ConnectionError, Error, ExecutionError
from wherry.io_streams import QUIET_S, FedReader, PassingReader, StreamReader, StreamWriter
from wherry.stream_type import StreamType
from wherry_proto.messages import ExecReply, ExecRequest, ExecStart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry._connection.client import Client
    from wherry._connection.transport.transport import Exchange

T = TypeVar("T", str, bytes)

# Bytes of input in one message.
_PIECE = 1 << 18


class ContainerProcess(Generic[T]):
    """A command that runs inside a container. It runs on when this process ends. (reference: ContainerProcess)"""

    def __init__(
        self,
        exchange: Exchange,
        replies: Iterator[ExecReply],
        name: str,
        text: bool,
        bufsize: int,
        goes_to: tuple[StreamType, StreamType],
    ) -> None:
        self._exchange = exchange
        self._name = name
        self._code: int | None = None
        self._error: Error | None = None
        self._over = threading.Event()
        self._fed = [_fed(kind) for kind in goes_to]
        self._stdin = StreamWriter(self._write)
        self._stdout: StreamReader[T] = self._reader(1, text, bufsize)
        self._stderr: StreamReader[T] = self._reader(2, text, bufsize)
        threading.Thread(target=self._hear, args=(replies,), name="wherry-exec", daemon=True).start()

    def _reader(self, number: int, text: bool, bufsize: int) -> StreamReader[T]:
        """Return a stream: by line; with -1 also what of a line has come, before long; otherwise as it comes."""
        fed, soon = self._fed[number - 1], bufsize == -1
        quiet_s = QUIET_S if soon else None
        drain = self._stdin.drain
        return StreamReader(lambda: fed.pieces(quiet_s), text, bufsize in (1, -1), drain, number, soon)

    @property
    def stdin(self) -> StreamWriter:
        """What it reads."""
        return self._stdin

    @property
    def stdout(self) -> StreamReader[T]:
        """What it prints."""
        return self._stdout

    @property
    def stderr(self) -> StreamReader[T]:
        """What it prints on its standard error."""
        return self._stderr

    @property
    def returncode(self) -> int | None:
        """The exit code, None while it runs: 124 after its timeout, 137 when it was killed."""
        return self._code

    @blocking
    def wait(self) -> int:
        """Wait for its end and return the exit code.

        Raises ConnectionError when the service went away, and ExecutionError when the command was lost.
        """
        self._stdin.drain()
        self._over.wait()
        if self._error is not None:
            raise self._error
        assert self._code is not None
        return self._code

    @wait.awaiting
    async def _wait_aio(self) -> int:
        return await in_thread(self.wait)

    @blocking
    def poll(self) -> int | None:
        """Return the exit code if it has ended, None if it runs."""
        return self._code

    @blocking
    def kill(self) -> None:
        """Kill it, with what it has started; its exit code is then 137."""
        if not self._over.is_set():
            self._exchange.send(ExecRequest(kill=True))

    def __repr__(self) -> str:
        state = "running" if self._code is None else f"exited with code {self._code}"
        return f"ContainerProcess({self._name!r}, {state})"

    def _write(self, data: bytes, eof: bool) -> None:
        try:
            for start in range(0, len(data), _PIECE):
                self._exchange.send(ExecRequest(stdin=data[start : start + _PIECE]))
            if eof:
                self._exchange.send(ExecRequest(stdin_eof=True))
        except ConnectionError:
            # One that has ended reads nothing more, as with a pipe that nobody asks about.
            if not self._over.is_set():
                raise

    def _hear(self, replies: Iterator[ExecReply]) -> None:
        error: Error | None = ConnectionError(f"the service went away while {self._name!r} ran")
        try:
            for reply in replies:
                if reply.stdout:
                    self._fed[0].feed(reply.stdout)
                if reply.stderr:
                    self._fed[1].feed(reply.stderr)
                if reply.exit is not None:
                    self._code, error = reply.exit.code, None
                elif reply.error:
                    error = ExecutionError(f"{self._name!r}: {reply.error}")
        except Error as raised:
            error = raised if self._code is None else None
        self._error = error
        self._over.set()
        for fed in self._fed:
            fed.end(error)


def _fed(kind: StreamType) -> FedReader:
    return FedReader() if kind is StreamType.PIPE else PassingReader(shows=kind is StreamType.STDOUT)


def start(
    client: Client,
    request: ExecStart,
    *,
    text: bool,
    bufsize: int,
    goes_to: tuple[StreamType, StreamType] = (StreamType.PIPE, StreamType.PIPE),
) -> ContainerProcess[Any]:
    """Start a command; return when it has been started. `goes_to`: its standard output, its standard error."""
    exchange = client.exchange("Execs.Run", ExecRequest(start=request))
    replies: Any = iter(exchange)
    first = next(replies, None)
    if first is None or not first.started:
        told = first.error if first is not None else ""
        raise ExecutionError(f"{request.args[0]!r} could not be started: {told or 'the service did not say why'}")
    return ContainerProcess(exchange, replies, request.args[0], text, bufsize, goes_to)
