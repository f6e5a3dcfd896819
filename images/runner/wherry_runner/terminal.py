"""A terminal from outside that user code has for itself until its input ends: standard input, output and error."""

from __future__ import annotations

import io
import os
import sys
from _signal import SIGINT, signal  # type: ignore[import-not-found]
from _thread import allocate_lock, get_ident

from wherry_runner.context import input_id
from wherry_runner.inputs import Intake
from wherry_runner.interrupt import Interrupter

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

# Seconds until it is asked for once more: the service may have been started anew.
ASK_EVERY_S = 5.0
# Somebody who looks at a program is not to be hurried by its timeout.
MORE_TIME_S = 86_400.0
_NAMES = ("stdin", "stdout", "stderr")


class Terminal:
    """Joins this process to a terminal: one at a time, for one input."""

    def __init__(self, intake: Intake, interrupter: Interrupter, on_signal: Callable[[int, object], None]) -> None:
        self._intake = intake
        self._interrupter = interrupter
        self._on_signal = on_signal
        self._lock = allocate_lock()
        self._owner: str | None = None
        self._peer: socket.socket | None = None
        self._before: list[int] = []
        self._streams: dict[str, Any] = {}
        self._term: str | None = None

    @property
    def is_joined(self) -> bool:
        return self._peer is not None

    def join(self, ask: Callable[[str], None]) -> None:
        """Wait for a terminal and take it. `ask` asks for one to come to a socket, and raises when there is none."""
        import socket  # noqa: PLC0415 - start-up cost: these cost 10 ms, and most containers never need them
        import tempfile  # noqa: PLC0415 - start-up cost: as above

        owner = input_id.get()
        item = self._intake.held.get(owner or "")
        if owner is None or item is None:
            raise RuntimeError("a terminal is for the code of an input: not for imports, hooks and threads of your own")
        with self._lock:
            if self._peer is not None:
                return
            item.deadline += MORE_TIME_S
            folder = tempfile.mkdtemp(prefix="wherry-terminal-")
            path = os.path.join(folder, "socket")
            try:
                with socket.socket(socket.AF_UNIX) as server:
                    server.bind(path)
                    server.listen(1)
                    server.settimeout(ASK_EVERY_S)
                    peer = _accepted(server, path, ask)
            finally:
                if os.path.exists(path):
                    os.unlink(path)
                os.rmdir(folder)
            self._take(peer, owner)

    def leave(self, owner: str) -> None:
        """Give the terminal back, if it is this input's."""
        if self._peer is None or self._owner != owner:
            return
        with self._lock:
            peer, self._peer = self._peer, None
            if peer is None:
                return
            for name in _NAMES[1:]:
                try:  # noqa: SIM105
                    getattr(sys, name).flush()
                except (OSError, ValueError):
                    pass  # its other side has gone
            for name, stream in self._streams.items():
                setattr(sys, name, stream)
            for number, saved in enumerate(self._before):
                os.dup2(saved, number)
                os.close(saved)
            self._set_term(self._term)
            if get_ident() == self._interrupter.main_thread:
                # A debugger may have left its own.
                signal(SIGINT, self._on_signal)
            peer.close()

    def interrupt(self) -> None:
        """Have Ctrl-C do what it does at home, where user code has the main thread."""
        if self._interrupter.armed is not None:
            raise KeyboardInterrupt

    def _take(self, peer: socket.socket, owner: str) -> None:
        import json  # noqa: PLC0415 - start-up cost: as above
        import socket  # noqa: PLC0415 - start-up cost: as above

        data, (fd, *_), _, _ = socket.recv_fds(peer, 4096, 1)
        peer.sendall(b"%d\n" % os.getpid())
        self._term = os.environ.get("TERM")
        self._set_term(json.loads(data)["term"])
        self._streams = {name: getattr(sys, name) for name in _NAMES}
        self._before = [os.dup(number) for number in range(3)]
        for number in range(3):
            os.dup2(fd, number, inheritable=True)
        os.close(fd)
        for number, name in enumerate(_NAMES):
            raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
            buffer: Any = io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw)
            stream = io.TextIOWrapper(buffer, "utf-8", "replace", line_buffering=True, write_through=number > 0)
            setattr(sys, name, stream)
        self._owner, self._peer = owner, peer

    def _set_term(self, value: str | None) -> None:
        if value is None:
            os.environ.pop("TERM", None)
        else:
            os.environ["TERM"] = value


def _accepted(server: socket.socket, path: str, ask: Callable[[str], None]) -> socket.socket:
    while True:
        ask(path)
        try:
            peer, _ = server.accept()
        except TimeoutError:
            continue
        peer.settimeout(None)
        return peer


def breakpoint_hook(*args: Any, **kwargs: Any) -> None:
    """`breakpoint()`: the debugger, at the terminal of who runs the app."""
    import pdb  # noqa: PLC0415 - start-up cost: as above
    from importlib import import_module  # noqa: PLC0415 - start-up cost: as above

    # The SDK that is in the image beside this, which user code may not have imported.
    import_module("wherry").interact()
    debugger = pdb.Pdb(skip=["wherry_runner.*"])
    if header := kwargs.get("header"):
        debugger.message(header)
    debugger.set_trace(sys._getframe(1))  # noqa: SLF001 - as pdb.set_trace does
