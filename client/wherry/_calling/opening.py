"""Calls that are opened in a thread, and may be given up meanwhile by whoever awaits that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from wherry.exception import ExecutionError

if TYPE_CHECKING:
    from wherry._connection.session import Call, Session

T = TypeVar("T")


class Opening:
    """Opens one call, unless it was given up before; what is open when it is given up, is cancelled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_given_up = False
        self._opened: tuple[Session, Call] | None = None

    def open(self, session: Session, call: Call) -> None:
        """Put the call on the session; raise ExecutionError where nobody wants it any more."""
        with self._lock:
            if self._is_given_up:
                raise _given_up()
            session.open(call)
            self._opened = session, call

    def give_up(self) -> None:
        """Never open it; or cancel it, and wake who waits for it."""
        with self._lock:
            self._is_given_up = True
            opened, self._opened = self._opened, None
        if opened is not None:
            session, call = opened
            session.cancel(call)
            call.fail(_given_up())


async def opened_in_thread(work: Callable[[Opening], T]) -> T:
    """Run what opens a call and waits; when whoever awaits this is cancelled, the call does not run, or no longer."""
    import asyncio  # noqa: PLC0415 - start-up cost: the caller has it already

    opening = Opening()
    try:
        return await asyncio.to_thread(work, opening)
    except asyncio.CancelledError:
        opening.give_up()
        raise


def _given_up() -> ExecutionError:
    return ExecutionError("the call was cancelled before it began")
