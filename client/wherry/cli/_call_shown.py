"""What `wherry call show` prints of a call: its times, attempts, sizes, error and log, and what to do next."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from wherry._base.words import counted
from wherry._calling.records import FAILED, OPEN, full_name, times_of
from wherry._connection.client import default_client
from wherry._screen.pace import amount, took
from wherry._screen.table import Column, Kind
from wherry.cli._common import say, suggested, tell
from wherry.cli._listing import show_rows
from wherry.cli._logs import read_logs
from wherry.cli._records import CALLS, num_open, own_call, state_of
from wherry.exception import Error
from wherry_proto import views
from wherry_proto.messages import (
    LogLine,
    LogReadRequest,
    Record,
    RecordAttempt,
    RecordDetail,
    RecordShowResponse,
    RecordState,
)
from wherry_proto.times import iso, stamp

# Of the log.
_LINES = 10
# Of a call of many.
_INPUTS = 20
_SKEW_MS = 60_000
# What an attempt has to say of itself that the lines above do not: more than one of them.
_ATTEMPTS = 2


def described_call(shown: RecordShowResponse) -> dict[str, Any]:
    """Return what is known of a call as JSON shows it."""
    return {
        "counts": {views.RECORD_STATES.get(one.state, "unknown"): one.count for one in shown.counts},
        "inputs": [_described(detail) for detail in shown.records],
    }


def _described(detail: RecordDetail) -> dict[str, Any]:
    assert detail.record is not None
    return {
        **views.record(detail.record),
        "attempts": [
            {
                "container_id": one.container_id or None,
                "started_at": iso(one.started_ms) or None,
                "ended_at": iso(one.ended_ms) or None,
                "started_ms": one.started_ms or None,
                "ended_ms": one.ended_ms or None,
                "outcome": views.RECORD_STATES.get(one.outcome, "unknown"),
                "error": one.error or None,
            }
            for one in detail.attempts
        ],
        "traceback": detail.traceback or None,
    }


def show_call(call_id: str, shown: RecordShowResponse, states: Counter[int]) -> None:
    """Print a call of many inputs: how many stand how, and those that did not succeed."""
    records = [detail.record for detail in shown.records if detail.record is not None]
    first = records[0]
    total = f"{states.total():,} {'input' if states.total() == 1 else 'inputs'}"
    say(f"{call_id}: {total} of {_function_of(first)}, made by {views.CALL_KINDS.get(first.kind, 'a call')}")
    say(", ".join(f"{count:,} {views.RECORD_STATES.get(state, 'unknown')}" for state, count in sorted(states.items())))
    begun = min((record.queued_ms for record in records if record.queued_ms), default=0)
    if begun:
        say(f"The first was queued at {stamp(begun)}")
    bad = next((record for record in records if record.state in FAILED), None)
    wanted = [record for record in records if record.state != RecordState.SUCCEEDED] or records
    say("")
    show_rows(*CALLS.table.columns, rows=wanted[:_INPUTS])
    _show_next(
        first.environment,
        [
            ("One of them", f"wherry call show {(bad or wanted[0]).input_id}"),
            ("All that failed", f"wherry call list --call {call_id} --failed --limit 0") if bad is not None else None,
            ("Run those again", f"wherry call retry {call_id}") if bad is not None and bad.kept else None,
            ("Cancel it", f"wherry call cancel {call_id}") if num_open(states) else None,
            ("Log", f"wherry call logs {call_id}"),
        ],
    )


def show_input(detail: RecordDetail, *, alone: bool) -> None:
    """Print all that is known of an input. `alone`: it is the only one of its call."""
    record = detail.record
    assert record is not None
    for line in _head(record, alone):
        say(line)
    say("")
    for line in _timeline(detail):
        say(line)
    if len(detail.attempts) >= _ATTEMPTS:
        say("")
        _show_attempts(detail.attempts, record.queued_ms)
    if detail.traceback:
        say("")
        for line in detail.traceback.rstrip().splitlines():
            say(line)
    elif record.error:
        say("")
        say(record.error)
    _show_log(record)
    kept = record.kept and record.state in FAILED
    _show_next(
        record.environment,
        [
            ("Run it again", f"wherry call retry {record.input_id}") if kept else None,
            ("Open it", f"wherry call debug {record.input_id}") if kept else None,
            ("Cancel it", f"wherry call cancel {record.call_id}") if record.state in OPEN and alone else None,
            ("The whole call", f"wherry call show {record.call_id}") if not alone else None,
            ("Who called", f"wherry call show {record.parent_input_id}") if record.parent_input_id else None,
            ("Log", f"wherry call logs {record.input_id}"),
        ],
    )


def _head(record: Record, alone: bool) -> Iterator[str]:
    yield f"{record.input_id}: {state_of(record)}"
    facts = [f"function {_function_of(record)}"]
    if record.version:
        facts.append(f"version {record.version}")
    facts.append(f"environment {record.environment}")
    yield ", ".join(facts)
    made = f"made by {views.CALL_KINDS.get(record.kind, 'a call')}"
    yield f"{made}, call {record.call_id}" if alone else f"{made}, input {record.index} of {record.call_id}"
    if record.parent_input_id:
        yield f"called by input {record.parent_input_id}"
    if record.replay_of:
        yield f"runs {record.replay_of} again"
    if record.replayed_by:
        yield f"was run again as {record.replayed_by}"


def _function_of(record: Record) -> str:
    return f"{record.app_name}/{full_name(record)}"


def _timeline(detail: RecordDetail) -> Iterator[str]:
    record = detail.record
    assert record is not None
    times = times_of(record, int(time.time() * 1000) if record.state in OPEN else 0)
    waited, ran = took(times.queue), took(times.run)
    yield f"queued   {stamp(record.queued_ms)}" + (f"   {amount(record.argument_bytes)} of arguments"
                                                        if record.argument_bytes else "")  # fmt: skip
    if record.started_ms:
        where = f" in {record.container_id}" if record.container_id else ""
        yield f"started  {stamp(record.started_ms)}   waited {waited}{where}"
    elif record.state in OPEN:
        yield f"         waits for a container{f', for {waited}' if waited else ''}"
    if record.ended_ms:
        result = f", {amount(record.result_bytes)} of result" if record.result_bytes else ""
        yield f"ended    {stamp(record.ended_ms)}   {f'ran {ran}' if ran else f'waited {waited}, never ran'}{result}"
    elif record.state == RecordState.RUNNING:
        yield f"         runs for {ran}"
    elif record.state == RecordState.RETRYING:
        yield "         failed, and waits for its next attempt"
    again = [
        counted(record.retries, "retry", "retries") if record.retries else "",
        f"{counted(record.losses, 'container')} lost" if record.losses else "",
    ]
    if any(again):
        yield f"         {', '.join(filter(None, again))}"


def _show_attempts(attempts: list[RecordAttempt], queued_ms: int) -> None:
    rows = list(enumerate(attempts, 1))
    show_rows(
        Column("attempt", lambda row: row[0]),
        Column("container", lambda row: row[1].container_id, Kind.ID),
        Column("outcome", lambda row: views.RECORD_STATES.get(row[1].outcome), Kind.STATE),
        Column("ran", lambda row: _seconds(row[1].started_ms, row[1].ended_ms), Kind.SECONDS),
        Column("began after", lambda row: _seconds(queued_ms, row[1].started_ms), Kind.SECONDS, leaves=2),
        Column("error", lambda row: row[1].error, leaves=1, cut=True),
        rows=rows,
    )


def _seconds(from_ms: int, to_ms: int) -> float | None:
    return max(0, to_ms - from_ms) / 1000 if from_ms and to_ms else None


def _show_log(record: Record) -> None:
    lines: list[LogLine] = []
    try:
        for chunk in read_logs(default_client(), log_request(record, record.input_id, tail=_LINES)):
            lines += chunk
    except Error as error:
        # A token may call functions and not read logs; the app's log may be gone.
        tell(f"Its log can't be read: {error}")
        return
    if lines:
        say("")
        say("Its last lines:" if len(lines) == _LINES else "It printed:")
        for line in lines:
            say(f"  {line.text.rstrip()}")


def log_request(record: Record, record_id: str, *, tail: int = 0) -> LogReadRequest:
    """Return what asks for the lines of a call, or of one input of it."""
    # None came before it was queued, but for clocks that differ.
    since_ms = max(0, record.queued_ms - _SKEW_MS)
    return LogReadRequest(app_id=record.app_id, call_id=own_call(record_id), since_ms=since_ms, tail=tail)


def _show_next(environment: str, lines: list[tuple[str, str] | None]) -> None:
    where = suggested(environment)
    wanted = [line for line in lines if line is not None]
    width = max(len(what) for what, _ in wanted) + 1
    say("")
    for what, command in wanted:
        say(f"{what + ':':{width}} {command}{where}")
