"""Values that must not appear in what containers print: replaced before a line is stored or sent anywhere."""

import json
import re
from collections.abc import Iterable, Sequence

from wherry_service.logs.batch import LogRow

MASK = "****"
# Shorter ones would make every log unreadable: "1", "no", "dev".
MIN_LENGTH = 4
# Longer lines of values are looked for in parts.
_PART = 1024


class Masks:
    """The secret values of apps and of single containers."""

    def __init__(self) -> None:
        self._values: dict[str, set[str]] = {}
        # Counts changes, so that a `Masker` knows when to look again.
        self.version = 0

    def add(self, owner_id: str, values: Iterable[str]) -> None:
        """Mask these values from now on in what an app's containers (`ap-…`) or one container (`co-…`) prints.

        A value of several lines is masked line by line. What has fewer than 4 characters is not masked.
        """
        found: set[str] = set()
        for value in values:
            # As it is, and as `repr` and JSON show it.
            shown = (repr(value), json.dumps(value), json.dumps(value, ensure_ascii=False))
            for form in (value, *(text[1:-1] for text in shown)):
                for line in form.splitlines():
                    text = line.strip()
                    parts = (text[start : start + _PART] for start in range(0, len(text), _PART))
                    found.update(part for part in parts if len(part) >= MIN_LENGTH)
        if not found <= self._values.get(owner_id, set()):
            self._values.setdefault(owner_id, set()).update(found)
            self.version += 1

    def forget(self, owner_id: str) -> None:
        """Forget the values of an app or container that is gone."""
        if self._values.pop(owner_id, None) is not None:
            self.version += 1

    def values(self, *owner_ids: str) -> list[str]:
        """Return the values of these, the longest first."""
        found = set().union(*(self._values.get(owner_id, ()) for owner_id in owner_ids))
        return sorted(found, key=lambda value: (-len(value), value))

    def masker(self, *owner_ids: str) -> "Masker":
        """Return what masks one container's lines, with the values of these."""
        return Masker(self, owner_ids)


class Masker:
    """Masks what one container prints. It remembers the ends of unfinished lines: a value may go on in the next row."""

    def __init__(self, masks: Masks, owner_ids: Sequence[str]) -> None:
        self._masks = masks
        self._owner_ids = owner_ids
        self._version = -1
        self._values: list[str] = []
        self._pattern = re.compile("")
        # Ends of rows that go on, which may be the beginning of a value: by stream and input.
        self._kept: dict[tuple[int, str], str] = {}

    def text(self, text: str) -> str:
        """Return the text with every value in it replaced."""
        if self._version != self._masks.version:
            self._look()
        return self._masked(text) if self._values else text

    def rows(self, rows: Sequence[LogRow]) -> Sequence[LogRow]:
        """Return the rows with every value in them replaced."""
        if self._version != self._masks.version:
            self._look()
        if not self._values and not self._kept:
            return rows
        return [self._row(row) for row in rows]

    def rest(self, at_ms: int) -> list[LogRow]:
        """Return rows for the ends that are still kept when the container has ended, masked whole."""
        kept, self._kept = self._kept, {}
        return [(stream, input_id, at_ms, MASK, False) for stream, input_id in kept]

    def _look(self) -> None:
        self._version = self._masks.version
        self._values = self._masks.values(*self._owner_ids)
        # At each place the longest value that begins there.
        self._pattern = re.compile(f"(?=({'|'.join(map(re.escape, self._values))}))")

    def _row(self, row: LogRow) -> LogRow:
        stream, input_id, at_ms, text, goes_on = row
        if self._kept:
            text = self._kept.pop((stream, input_id), "") + text
        if goes_on and (keep := self._beginning(text)):
            self._kept[stream, input_id] = text[-keep:]
            text = text[:-keep]
        return (stream, input_id, at_ms, self._masked(text), goes_on)

    def _beginning(self, text: str) -> int:
        """Return how many characters at the end of the text may be the beginning of a value."""
        most = 0
        for value in self._values:
            for length in range(min(len(value) - 1, len(text)), most, -1):
                if value.startswith(text[-length:]):
                    most = length
                    break
        # A whole value must not be cut by what is kept.
        start = len(text) - most
        for value in self._values:
            at = text.find(value, max(0, start - len(value) + 1))
            if most and 0 <= at < start < at + len(value):
                return len(text) - at
        return most

    def _masked(self, text: str) -> str:
        # A plain search is a tenth of what the pattern costs.
        if not any(value in text for value in self._values):
            return text
        pieces: list[str] = []
        done = 0
        covered = -1
        for match in self._pattern.finditer(text):
            start, end = match.span(1)
            if start > covered:
                pieces += (text[done:start], MASK)
            covered = max(covered, end)
            done = covered
        pieces.append(text[done:])
        return "".join(pieces)
