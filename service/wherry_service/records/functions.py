"""What is kept in memory of one function: its inputs that have ended, the latest of them."""

from collections import deque

from wherry_service.records.rows import PlainRow, Subject
from wherry_service.records.tally import Tally


class FunctionRecords:
    """The records of one function."""

    __slots__ = ("ended", "last_ms", "subject", "tally")

    def __init__(self, subject: Subject, keep: int) -> None:
        self.subject = subject
        # In the order in which they ended.
        self.ended: deque[PlainRow] = deque(maxlen=keep)
        self.tally = Tally()
        self.last_ms = 0
