"""Writes the audit log: what can't be written now is written later, and meanwhile little more is allowed."""

import asyncio
import logging

from wherry_proto.messages import AuditEntry
from wherry_service.calls.writing import until_written
from wherry_service.errors import Exhausted, Rarely, stack_of
from wherry_service.store.tokens import AuditStore
from wherry_service.store.trouble import in_words

log = logging.getLogger(__name__)

# Entries that wait to be written.
MAX_UNWRITTEN = 4096
# Seconds that they get when the service ends.
CLOSE_WITHIN_S = 5.0


class AuditLog:
    """Notes what is done, in the order in which it comes."""

    def __init__(self, store: AuditStore, max_unwritten: int = MAX_UNWRITTEN) -> None:
        self._store = store
        self._max_unwritten = max_unwritten
        self._writing: dict[asyncio.Task[None], AuditEntry] = {}
        self._rarely = Rarely()

    def check(self) -> None:
        """Raise `Exhausted` while so many entries wait that one more could not be kept."""
        if len(self._writing) >= self._max_unwritten:
            raise Exhausted(
                f"{len(self._writing)} entries of the audit log could not be written yet, and what is done now would "
                "not be in it: the service's log says what is wrong with its disk or database"
            )

    def note(self, entry: AuditEntry) -> None:
        """Write an entry, now or as soon as that can be. One too many is a line of the service's log instead."""
        if len(self._writing) >= self._max_unwritten:
            # Strangers who try tokens are told of once in a while: theirs are the ones that come without end.
            if entry.action != "login" or self._rarely.may_tell("login"):
                self._tell(entry, "too many entries wait")
            return
        task = asyncio.ensure_future(until_written(lambda: self._store.add(entry)))
        self._writing[task] = entry
        task.add_done_callback(self._written)

    async def close(self) -> None:
        """Wait until all is written; after some seconds what is not becomes lines of the service's log."""
        if not self._writing:
            return
        _, waiting = await asyncio.wait(list(self._writing), timeout=CLOSE_WITHIN_S)
        for task in waiting:
            self._tell(self._writing[task], "the service ends")
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)

    def _written(self, task: "asyncio.Task[None]") -> None:
        entry = self._writing.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._tell(entry, in_words(error), error)

    def _tell(self, entry: AuditEntry, why: str, error: BaseException | None = None) -> None:
        who = entry.token_id or entry.peer
        what = f"{entry.action} of {entry.target!r} by {who} in {entry.environment!r}: {entry.outcome}"
        stack = stack_of(error) if error is not None else None
        log.error("not in the audit log (%s): %s", why, what, exc_info=stack)
