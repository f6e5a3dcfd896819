"""Which records are asked for, and where a list goes on."""

from collections.abc import Iterable
from dataclasses import dataclass

from wherry_service.errors import InvalidRequest
from wherry_service.ids import check_id, input_of_call
from wherry_service.records.rows import PlainRow

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

Key = tuple[int, str]
"""When an input was queued, and its id: the order of lists."""


# large: a field for each filter of `Records.List`
@dataclass(frozen=True, slots=True)
class Query:
    """What of the rows of the functions that are meant."""

    call_id: str = ""
    input_id: str = ""
    states: frozenset[int] = frozenset()
    kinds: frozenset[int] = frozenset()
    container_id: str = ""
    since_ms: int = 0
    until_ms: int = 0
    # In lower case.
    search: str = ""
    limit: int = DEFAULT_LIMIT
    # Only what comes after this one, which is older.
    after: Key | None = None

    def matching(self, rows: Iterable[PlainRow]) -> list[PlainRow]:
        """Return the rows that match, but for `search`."""
        rows = rows if self.after is None else [row for row in rows if row[:2] < self.after]
        if self.call_id:
            own = input_of_call(self.call_id)
            rows = [row for row in rows if row[2][0] == self.call_id or row[1] == own]
        if self.input_id:
            rows = [row for row in rows if row[1] == self.input_id]
        if self.states:
            rows = [row for row in rows if row[12] in self.states]
        if self.kinds:
            rows = [row for row in rows if row[2][1] in self.kinds]
        if self.container_id:
            rows = [row for row in rows if row[7] == self.container_id]
        if self.since_ms:
            rows = [row for row in rows if row[0] >= self.since_ms]
        if self.until_ms:
            rows = [row for row in rows if row[0] < self.until_ms]
        return list(rows)


def limit_of(asked: int) -> int:
    """Return how many records are meant; raise `InvalidRequest` for more than there are in one answer."""
    if asked > MAX_LIMIT:
        raise InvalidRequest(f"limit is {asked}: an answer has at most {MAX_LIMIT} records; go on with `after`")
    return asked or DEFAULT_LIMIT


def text_of(key: Key) -> str:
    """Return what a client says to go on after a record."""
    return f"{key[0]:x}.{key[1]}"


def key_of(text: str) -> Key | None:
    """Return the record after which a list goes on, None for ""; raise `InvalidRequest` for nonsense."""
    if not text:
        return None
    at, _, input_id = text.partition(".")
    try:
        number = int(at, 16)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 63 or len(at) > 16:
        raise InvalidRequest(f"after is {text[:64]!r}: it is `next` of an earlier answer")
    return number, check_id(input_id, "in", "input id")
