"""Lines that have begun and go on: kept in memory, so that the log has whole lines, and a progress bar's last state."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wherry_proto.messages import LogLine
from wherry_service.logs.batch import LINE_BYTES, LogBatch, LogRow
from wherry_service.logs.query import Query

# Longer lines are kept in pieces.
MAX_LINE = 64 << 10
# What all begun lines of one container may weigh together; then the oldest is kept as a piece.
MOST_BYTES = 1 << 20


@dataclass(slots=True)
class _Open:
    """A line that has begun."""

    call_id: str
    pieces: list[str] = field(default_factory=list)
    size: int = 0
    at_ms: int = 0

    def add(self, text: str) -> None:
        self.pieces.append(text)
        self.size += len(text)
        if "\r" in text:
            self.pieces = [last_state(self.text)]
            self.size = len(self.pieces[0])

    @property
    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


@dataclass(slots=True)
class _Container:
    """The begun lines of a container, by stream and input."""

    app_id: str
    function_id: str
    lines: dict[tuple[int, str], _Open] = field(default_factory=dict)
    size: int = 0


class OpenLines:
    """The begun lines of all containers."""

    def __init__(self) -> None:
        self._containers: dict[str, _Container] = {}

    def take(self, batch: LogBatch) -> LogBatch:
        """Take a batch as it came; return what of it, and of what was begun before, is to be kept now.

        Its last row has the position of the last one that came.
        """
        held = self._containers.get(batch.container_id)
        if held is None and not any(row[4] or "\r" in row[3] for row in batch.rows):
            return batch
        if held is None:
            held = self._containers[batch.container_id] = _Container(batch.app_id, batch.function_id)
        rows: list[LogRow] = []
        calls = dict(batch.calls)
        for stream, input_id, at_ms, text, goes_on in batch.rows:
            line = held.lines.pop((stream, input_id), None)
            if line is None:
                line = _Open(batch.calls.get(input_id, ""))
            else:
                held.size -= line.size + LINE_BYTES
            line.add(text)
            line.at_ms = at_ms
            if line.call_id:
                calls[input_id] = line.call_id
            if goes_on and line.size < MAX_LINE:
                held.lines[stream, input_id] = line
                held.size += line.size + LINE_BYTES
                while held.size > MOST_BYTES:
                    rows.append(_oldest(held, calls))
            else:
                rows.append((stream, input_id, at_ms, line.text if goes_on else _ended(line.text), goes_on))
        if not held.lines:
            del self._containers[batch.container_id]
        last = batch.position + len(batch.rows)
        return LogBatch(batch.app_id, batch.function_id, batch.container_id, rows, calls, last - len(rows))

    def ends(self, container_id: str, at_ms: int, stream: int = 0, input_id: str | None = None) -> list[LogRow]:
        """Return rows that end the lines which a container has begun: all, or those of one stream and input."""
        held = self._containers.get(container_id)
        return [
            (key[0], key[1], at_ms, "", False)
            for key in (held.lines if held is not None else ())
            if stream in (0, key[0]) and input_id in (None, key[1])
        ]

    def give_up(self) -> list[LogBatch]:
        """Return what all have begun, as pieces that go on; forget it."""
        batches: list[LogBatch] = []
        for container_id, held in self._containers.items():
            calls: dict[str, str] = {}
            rows = [_oldest(held, calls) for _ in range(len(held.lines))]
            batches.append(LogBatch(held.app_id, held.function_id, container_id, rows, calls))
        self._containers.clear()
        return batches

    def shown(self, query: Query, position: int) -> list[LogLine]:
        """Return what somebody wants of it as far as it has come, that is up to a position; the oldest first."""
        return [
            line
            for container_id, held in self._containers.items()
            if held.app_id == query.app_id
            for (stream, input_id), open_line in held.lines.items()
            for line in LogBatch(
                held.app_id,
                held.function_id,
                container_id,
                [(stream, input_id, open_line.at_ms, open_line.text, True)],
                _calls(input_id, open_line),
                position,
            ).lines()
            if query.wants(line)
        ]


def _oldest(held: _Container, calls: dict[str, str]) -> LogRow:
    (stream, input_id), line = next(iter(held.lines.items()))
    del held.lines[stream, input_id]
    held.size -= line.size + LINE_BYTES
    calls.update(_calls(input_id, line))
    return (stream, input_id, line.at_ms, line.text, True)


def _calls(input_id: str, line: _Open) -> Mapping[str, str]:
    return {input_id: line.call_id} if line.call_id else {}


def last_state(text: str) -> str:
    """Return what returns to the line's beginning have left of it: what was written last.

    Returns at its end stay: what follows them replaces it.
    """
    shown = text.rstrip("\r")
    state = shown[shown.rfind("\r") + 1 :]
    if not state.strip():
        return ""
    return state + "\r" if len(shown) < len(text) else state


def _ended(text: str) -> str:
    return text.rstrip("\r") if "\r" in text else text
