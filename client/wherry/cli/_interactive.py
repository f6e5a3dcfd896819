"""This terminal, offered to the functions of an app while it runs: `wherry run -i`."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from wherry._connection.client import Client
from wherry._screen import terminal
from wherry.cli._usage import UsageError
from wherry.exception import ConnectionError, Error
from wherry_proto.messages import ExecStart, TerminalOffer

JOIN = ("python3", "-I", "/wherry/runner/wherry_runner/join.py")
# How `join.py` ends after Ctrl-\.
_QUIT = 128 + signal.SIGQUIT
WITHIN_S = 30.0


def check(detach: bool) -> None:
    """Raise UsageError where a run can't be interactive."""
    if detach:
        raise UsageError("-i joins functions to this terminal, and -d leaves them without: use one of them")
    if not terminal.is_terminal():
        raise UsageError("-i needs a terminal for input and output, and there is none here: leave it out")


@contextlib.contextmanager
def offering(client: Client, app_id: str) -> Iterator[None]:
    """Offer this terminal to an app's functions. To be entered by the main thread, as signals are its to hear."""
    offer = _Offer(client, app_id)
    with terminal.heard() as resized:
        thread = threading.Thread(target=offer.serve, args=(resized,), name="wherry-offer", daemon=True)
        thread.start()
        if not offer.stands.wait(WITHIN_S):
            raise ConnectionError(f"the service did not answer within {WITHIN_S:g} s")
        if offer.error is not None:
            raise offer.error
        yield
        # What it shows last comes before what follows here.
        offer.idle.wait(WITHIN_S)


class _Offer:
    def __init__(self, client: Client, app_id: str) -> None:
        self.stands = threading.Event()
        self.idle = threading.Event()
        self.idle.set()
        self.error: Error | None = None
        self._client = client
        self._app_id = app_id
        self._done: set[str] = set()

    def serve(self, resized: threading.Event) -> None:
        """Join those that ask to the terminal, one after another."""
        asks: Any = self._client.stream("Terminals.Offer", TerminalOffer(app_id=self._app_id), repeat=True)
        try:
            for ask in asks:
                self.stands.set()
                # They ask again and again.
                if ask.container_id and ask.socket not in self._done:
                    self._done.add(ask.socket)
                    self._join(ask.container_id, ask.socket, resized)
        except Error as error:
            self.error = error
            self.stands.set()

    def _join(self, container_id: str, socket: str, resized: threading.Event) -> None:
        start = ExecStart(container_id=container_id, args=[*JOIN, socket])
        self.idle.clear()
        try:
            with self._client.listener.held():
                code = terminal.run_in_terminal(self._client, start, resized)
            if code == _QUIT:
                os.kill(os.getpid(), signal.SIGINT)
        except Error as error:
            # The function's own end tells the rest: its container, or the service, has gone.
            self._client.listener.screen.step(f"The terminal was taken away: {error}")
        finally:
            self.idle.set()
