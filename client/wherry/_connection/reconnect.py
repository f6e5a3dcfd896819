"""Connecting again after the service has gone: with back-off, and not for ever."""

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from wherry.exception import ConnectionError

log = logging.getLogger("wherry")

T = TypeVar("T")

_FIRST_DELAY_S = 0.02
_LONGEST_DELAY_S = 2.0


class Reconnect:
    """Tries to connect until it works, for at most `give_up_s` seconds.

    `revive` is called before each attempt but the very first; it may start the service again.
    """

    def __init__(self, give_up_s: float, revive: Callable[[], None] | None) -> None:
        self._give_up_s = give_up_s
        self._revive = revive
        self._connected_before = False

    def connected_before(self) -> None:
        """Wait also when the first attempt fails: there was a connection."""
        self._connected_before = True

    def __call__(self, connect: Callable[[], T], closing: threading.Event, awaited: bool) -> T | None:
        """Return what `connect` returns; None when `closing` is set meanwhile. Raises what is not a ConnectionError.

        The user is told of it where `awaited`: something waits for an answer.
        """
        try:
            stream = connect()
        except ConnectionError as error:
            if closing.is_set():
                return None
            if not self._connected_before:
                raise
            level = logging.WARNING if awaited else logging.DEBUG
            log.log(level, "wherry: the connection to the service broke; waiting for it to come back")
            again = self._again(connect, closing, error)
            if again is not None:
                log.log(level, "wherry: connected to the service again")
            return again
        self._connected_before = True
        return stream

    def _again(self, connect: Callable[[], T], closing: threading.Event, first: ConnectionError) -> T | None:
        import tenacity  # noqa: PLC0415 - start-up cost: only when a connection has broken

        def stop(state: Any) -> bool:
            return closing.is_set() or float(state.seconds_since_start or 0) > self._give_up_s

        def pause(seconds: float) -> None:
            closing.wait(seconds)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ConnectionError),
            wait=tenacity.wait_exponential(multiplier=_FIRST_DELAY_S, max=_LONGEST_DELAY_S)
            + tenacity.wait_random(0, _FIRST_DELAY_S),
            stop=stop,
            sleep=pause,
            reraise=True,
        )
        try:
            stream: T = retrying(self._attempt, connect)
        except ConnectionError as error:
            if closing.is_set():
                return None
            raise ConnectionError(f"the service did not come back within {self._give_up_s:.0f} s: {error}") from first
        return stream

    def _attempt(self, connect: Callable[[], T]) -> T:
        if self._revive is not None:
            self._revive()
        return connect()
