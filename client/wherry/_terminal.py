"""This process's terminal, joined to a command in a container: raw while it runs, as it was afterwards."""

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from wherry.exception import ConnectionError, Error, ExecutionError
from wherry_proto.messages import ExecRequest, ExecStart, TerminalSize

if TYPE_CHECKING:
    from wherry._client import Client

# Bytes of what is typed, or pasted, in one message.
_PIECE = 1 << 16
# What programs leave switched on when they are cut off: mouse reports, bracketed paste, application keys, the
# alternate screen, a hidden cursor, colours.
_RESET = b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\x1b[?1049l\x1b[?25h\x1b[0m"
_ENDINGS = (signal.SIGHUP, signal.SIGTERM)


def is_terminal() -> bool:
    """Whether this process has a terminal for both directions."""
    try:
        return os.isatty(sys.stdin.fileno()) and os.isatty(sys.stdout.fileno())
    except (OSError, ValueError):
        return False


def run_in_terminal(client: "Client", start: ExecStart, resized: threading.Event | None = None) -> int:
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
    with _Raw(stdin, stdout) as raw, _resizing(exchange, stdout, resized), _typing(exchange, stdin):
        for reply in replies:
            _write(stdout, reply.stdout or reply.stderr)
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
        self.was_cut_off = False
        self._stdin = stdin
        self._stdout = stdout
        self._before = termios.tcgetattr(stdin)
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "_Raw":
        if threading.current_thread() is threading.main_thread():
            for number in _ENDINGS:
                self._handlers[number] = signal.signal(number, self.end)
        tty.setraw(self._stdin)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Error | OSError):
            self.was_cut_off = True
        self._restore()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _restore(self) -> None:
        with contextlib.suppress(OSError, termios.error):
            if self.was_cut_off:
                os.write(self._stdout, _RESET)
            # What was typed and not read yet is not for the shell outside.
            termios.tcsetattr(self._stdin, termios.TCSAFLUSH, self._before)

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


@contextlib.contextmanager
def _typing(exchange: Any, stdin: int) -> Iterator[None]:
    wake, woken = os.pipe()

    def send() -> None:
        with contextlib.suppress(ConnectionError, OSError):
            while True:
                ready, _, _ = select.select([stdin, wake], [], [])
                if wake in ready:
                    return
                data = os.read(stdin, _PIECE)
                if not data:
                    exchange.send(ExecRequest(stdin_eof=True))
                    return
                exchange.send(ExecRequest(stdin=data))

    thread = threading.Thread(target=send, name="wherry-typing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.write(woken, b"x")
        # One that is in the middle of sending to a service that does not read is left alone.
        thread.join(1.0)
        if not thread.is_alive():
            os.close(wake)
            os.close(woken)


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
