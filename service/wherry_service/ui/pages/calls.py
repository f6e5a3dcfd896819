"""Calls: the inputs that functions were given, the latest first, with filters."""

from collections.abc import Iterable

from wherry_proto.messages import CallKind, Record, RecordListRequest, RecordState
from wherry_service.ui import words
from wherry_service.ui.page import Asked, Data, Page
from wherry_service.ui.rows import Cell, Row, Table, code, long, number, state, text, when

ROWS = 50
STATES = {
    "queued": RecordState.QUEUED,
    "running": RecordState.RUNNING,
    "retrying": RecordState.RETRYING,
    "succeeded": RecordState.SUCCEEDED,
    "failed": RecordState.FAILED,
    "timeout": RecordState.TIMEOUT,
    "cancelled": RecordState.CANCELLED,
    "lost": RecordState.LOST,
    "rejected": RecordState.REJECTED,
}
_WORDS = {value: key for key, value in STATES.items()}
KINDS = {
    "remote": CallKind.REMOTE,
    "map": CallKind.MAP,
    "generator": CallKind.GENERATOR,
    "spawn": CallKind.SPAWN,
    "spawn_map": CallKind.SPAWN_MAP,
    "web": CallKind.WEB,
    "schedule": CallKind.SCHEDULE,
}
_KIND_WORDS = {value: key for key, value in KINDS.items()}
# What is asked for, by how a filter calls it.
SINCE = {"10 minutes": 600, "hour": 3600, "day": 86_400, "week": 7 * 86_400}


def state_word(value: int) -> str:
    """Return a record's state in a word."""
    return _WORDS.get(value, "unknown")


def kind_word(value: int) -> str:
    """Return how it was called."""
    return _KIND_WORDS.get(value, "unknown")


def ran(record: Record) -> float | None:
    """Return the seconds that it ran; None if it did not yet, or runs."""
    if not record.started_ms or not record.ended_ms:
        return None
    return (record.ended_ms - record.started_ms) / 1000


def waited(record: Record) -> float | None:
    """Return the seconds that it waited; None if it waits."""
    begun = record.started_ms or record.ended_ms
    return (begun - record.queued_ms) / 1000 if begun and record.queued_ms else None


def named(record: Record) -> str:
    """Return "app/function", with the method of a class."""
    return f"{record.app_name}/{record.function_name}" + (f".{record.method}" if record.method else "")


def record_table(records: Iterable[Record], with_function: bool = True) -> Table:
    """Return a table of records."""
    rows = []
    for one in records:
        cells: list[Cell] = [code(one.input_id, f"/calls/{one.input_id}")]
        if with_function:
            cells.append(text(named(one), f"/functions/{one.function_id}"))
        cells += [
            state(state_word(one.state)),
            text(kind_word(one.kind)),
            when(one.queued_ms),
            text(words.seconds(waited(one))),
            text(words.seconds(ran(one))),
            number(one.retries + one.losses),
            long(words.short(one.error, 160)),
        ]
        rows.append(Row(one.input_id, cells))
    titles = ["Input", "State", "By", "Queued", "Waited", "Ran", "Retries#", "Error"]
    if with_function:
        titles.insert(1, "Function")
    return Table(titles, rows, "There is no such call in what is kept.")


async def data(asked: Asked) -> Data:
    """Return what the page shows."""
    query = asked.query
    within = SINCE.get(query.get("within", ""), 0)
    request = RecordListRequest(
        environment=asked.environment,
        app=query.get("app", "")[:256],
        function=query.get("function", "")[:256],
        call_id=query.get("call", "")[:64],
        container_id=query.get("container", "")[:64],
        states=[STATES[word] for word in query.get("state", "").split(",") if word in STATES],
        kinds=[KINDS[word] for word in query.get("kind", "").split(",") if word in KINDS],
        search=query.get("search", "")[:200],
        since_ms=asked.now_ms - within * 1000 if within else 0,
        limit=ROWS,
        after=query.get("after", "")[:256],
    )
    answer = await asked.ask("Records.List", request)
    return {
        "table": record_table(answer.records),
        "next": answer.next,
        "filters": {
            key: query.get(key, "")
            for key in ("app", "function", "state", "kind", "within", "search", "call", "container")
        },
        "states": list(STATES),
        "kinds": list(KINDS),
        "times": list(SINCE),
        "is_first": not query.get("after"),
    }


PAGE = Page("/calls", "calls.html", data, live=("rows",), section="Calls")
