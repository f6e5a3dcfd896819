"""This process's terminal, joined to a command in a container: raw while it runs, as it was afterwards."""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any, Protocol

from wherry.exception import ConnectionError, Error, ExecutionError
from wherry_proto.messages import ExecRequest, ExecStart, Message, TerminalSize

# Bytes of what is typed, or pasted, in one message.
_PIECE = 1 << 16
# What programs leave switched on when they are cut off: mouse reports, bracketed paste, application keys, the
# alternate screen, a hidden cursor, colours.
_RESET = b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\x1b[?1049l\x1b[?25h\x1b[0m"
# Windows has no SIGHUP.
_ENDINGS = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGTERM") if hasattr(signal, name))


class Connected(Protocol):
    """What runs a command: a client's connection to the service."""

    def exchange(self, method: str, first: Message, /) -> Any:
        """Call a method with many messages both ways."""


def is_terminal() -> bool:
    """Whether this process has a terminal for both directions."""
    try:
        return os.isatty(sys.stdin.fileno()) and os.isatty(sys.stdout.fileno())
    except (OSError, ValueError):
        return False


def run_in_terminal(client: Connected, start: ExecStart, resized: threading.Event | None = None) -> int:
    """Run a command with this terminal as its own; return its exit code.

    `resized`, from `heard`, is for threads that are not the main one.

    Raises ExecutionError when it could not be started or was lost, ConnectionError when the service went away.
    """
    stdin, stdout = sys.stdin.fileno(), sys.stdout.fileno()
    start.pty = True
    start.size = _size(stdout)
    # Programs ask it which sequences they may use.
    start.env = {"TERM": os.environ.get("TERM", "xterm-256color"), **start.env}
    exchange = client.exchange("Execs.Run", ExecRequest(start=start))
    replies: Iterator[Any] = iter(exchange)
    first = next(replies, None)
    if first is None or not first.started:
        raise ExecutionError(
            f"{start.args[0]!r} could not be started: {first.error if first is not None else 'no answer'}"
        )
    with _Raw(stdin, stdout) as raw, _resizing(exchange, stdout, resized), _Typing(exchange, stdin) as typing:
        for reply in replies:
            _write(stdout, reply.stdout or reply.stderr)
            if reply.stdout and exchange.carries_sockets:
                typing.ask_for_streams()
            if reply.handed_over is not None:
                streams = exchange.received_socket() if reply.handed_over.done else None
                typing.go_on(streams)
                if streams is not None:
                    with streams:
                        _show(streams, exchange, stdout)
                    try:
                        exchange.send(ExecRequest(streams_over=True))
                    except ConnectionError:
                        break
            if reply.exit is not None:
                return int(reply.exit.code)
            if reply.error:
                raw.was_cut_off = True
                raise ExecutionError(reply.error)
        raw.was_cut_off = True
        raise ConnectionError("the service went away while the shell was open; what ran in it was ended")


@contextlib.contextmanager
def heard() -> Iterator[threading.Event]:
    """Hear this process's signals within this block, in the main thread, for what another runs in the terminal.

    Yields what is set when the size has changed.
    """
    resized = threading.Event()
    raw = _Raw(sys.stdin.fileno(), sys.stdout.fileno())
    before: dict[int, Any] = {signal.SIGWINCH: signal.signal(signal.SIGWINCH, lambda number, frame: resized.set())}
    before |= {number: signal.signal(number, raw.end) for number in _ENDINGS}
    try:
        yield resized
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Raw:
    """The terminal in raw mode, put back however the block is left, also by a signal that ends the process."""

    def __init__(self, stdin: int, stdout: int) -> None:
        try:
            import termios  # noqa: PLC0415 - not on Windows, where all else works
            import tty  # noqa: PLC0415 - as above
        except ImportError:
            raise Error("a shell needs a terminal as Linux and macOS have it: on Windows run it inside WSL") from None
        self.was_cut_off = False
        self._stdin = stdin
        self._stdout = stdout
        self._termios = termios
        self._set_raw = tty.setraw
        self._before = termios.tcgetattr(stdin)
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "_Raw":
        if threading.current_thread() is threading.main_thread():
            for number in _ENDINGS:
                self._handlers[number] = signal.signal(number, self.end)
        self._set_raw(self._stdin)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Error | OSError):
            self.was_cut_off = True
        self._restore()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _restore(self) -> None:
        with contextlib.suppress(OSError, self._termios.error):
            if self.was_cut_off:
                # What is said about it begins a line of its own.
                os.write(self._stdout, _RESET + b"\r\n")
            # What was typed and not read yet is not for the shell outside.
            self._termios.tcsetattr(self._stdin, self._termios.TCSAFLUSH, self._before)

    def end(self, number: int, frame: object) -> None:
        """Put the terminal back, and end this process by the signal that has come."""
        self.was_cut_off = True
        self._restore()
        # Ended by that signal, as if it had not been caught.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


@contextlib.contextmanager
def _resizing(exchange: Any, stdout: int, resized: threading.Event | None) -> Iterator[None]:
    if resized is None and threading.current_thread() is not threading.main_thread():
        yield
        return
    # Sent by a thread of its own: a handler that waits for a lock that its own thread holds would wait for ever.
    changed = resized or threading.Event()
    over = threading.Event()

    def send() -> None:
        while True:
            changed.wait()
            changed.clear()
            if over.is_set():
                return
            with contextlib.suppress(ConnectionError):
                exchange.send(ExecRequest(resize=_size(stdout)))

    own = resized is None
    before = signal.signal(signal.SIGWINCH, lambda number, frame: changed.set()) if own else None
    thread = threading.Thread(target=send, name="wherry-resize", daemon=True)
    thread.start()
    try:
        yield
    finally:
        if own:
            signal.signal(signal.SIGWINCH, before)
        over.set()
        changed.set()
        thread.join(1.0)


class _Typing:
    """Sends what is typed, in a thread: to the service, or into the command's own streams once it has them.

    Those save the way through the service, which is half of what a key takes to its echo.
    """

    _STOP, _ASK, _GO_ON = b"s", b"a", b"g"

    def __init__(self, exchange: Any, stdin: int) -> None:
        self._exchange = exchange
        self._stdin = stdin
        self._streams: socket.socket | None = None
        self._asked = False
        # What the thread is told, a byte each: it alone knows what it has sent so far.
        self._heard, self._told = os.pipe()
        self._thread = threading.Thread(target=self._send, name="wherry-typing", daemon=True)

    def __enter__(self) -> "_Typing":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        os.write(self._told, self._STOP)
        # One that is in the middle of sending to a service that does not read is left alone.
        self._thread.join(1.0)
        if not self._thread.is_alive():
            os.close(self._heard)
            os.close(self._told)

    def ask_for_streams(self) -> None:
        """Ask, once, for the command's own streams; what is typed waits in the terminal until `go_on`."""
        if not self._asked:
            self._asked = True
            os.write(self._told, self._ASK)

    def go_on(self, streams: socket.socket | None) -> None:
        """Go on with these streams, or None: through the service."""
        if streams is not None:
            streams.setblocking(True)
        self._streams = streams
        os.write(self._told, self._GO_ON)

    def _send(self) -> None:
        sources = [self._stdin, self._heard]
        with contextlib.suppress(ConnectionError, OSError):
            while True:
                ready, _, _ = select.select(sources, [], [])
                if self._heard in ready:
                    told = os.read(self._heard, 1)
                    if told == self._STOP:
                        return
                    if told == self._ASK:
                        self._exchange.send(ExecRequest(hand_over=True))
                        sources = [self._heard]
                    else:
                        sources = [self._stdin, self._heard]
                elif not self._pass(os.read(self._stdin, _PIECE)):
                    return

    def _pass(self, data: bytes) -> bool:
        if self._streams is None:
            self._exchange.send(ExecRequest(stdin=data) if data else ExecRequest(stdin_eof=True))
        elif data:
            self._streams.sendall(data)
        else:
            self._streams.shutdown(socket.SHUT_WR)
        return bool(data)


def _show(streams: socket.socket, exchange: Any, stdout: int) -> None:
    """Show what comes out of a command's streams, until they have ended or the service has something to say."""
    readable = select.poll()
    readable.register(streams, select.POLLIN)
    readable.register(exchange, select.POLLIN)
    while True:
        if streams.fileno() in dict(readable.poll()):
            try:
                data = streams.recv(_PIECE)
            except OSError:  # the engine has gone, which the service tells
                return
            if not data:
                return
            _write(stdout, data)
        else:
            return


def _size(stdout: int) -> TerminalSize:
    try:
        size = os.get_terminal_size(stdout)
    except OSError:
        return TerminalSize(rows=24, columns=80)
    return TerminalSize(rows=size.lines, columns=size.columns)


def _write(stdout: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(stdout, view) :]
