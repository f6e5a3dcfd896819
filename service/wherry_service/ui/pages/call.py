"""One call or one of its inputs: when what became of it, its attempts, its error, its log, what it called."""

import contextlib
from collections.abc import Mapping

from wherry_proto.messages import (
    CallGraphNode,
    CallGraphRequest,
    InputStatus,
    LogReadRequest,
    Record,
    RecordDetail,
    RecordShowRequest,
    ReplayRunRequest,
    ReplayVersion,
)
from wherry_service.api.callers import follow
from wherry_service.errors import Denied, InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.ui import words
from wherry_service.ui.page import Action, Asked, Data, Done, Page
from wherry_service.ui.pages.calls import kind_word, named, ran, record_table, state_word, waited
from wherry_service.ui.rows import Row, Table, code, long, state, text, when

LINES = 200
INPUTS = 100
NODES = 300
_STATUS = {
    InputStatus.PENDING: "queued",
    InputStatus.RUNNING: "running",
    InputStatus.SUCCESS: "succeeded",
    InputStatus.FAILURE: "failed",
    InputStatus.TERMINATED: "cancelled",
    InputStatus.TIMEOUT: "timeout",
}


def timeline(detail: RecordDetail, now_ms: int) -> list[dict[str, object]]:
    """Return the phases of an input: a name, a state, when it began, and its place in thousandths of the whole."""
    record = detail.record
    assert record is not None
    phases: list[tuple[str, str, int, int]] = []
    last = record.queued_ms
    for index, attempt in enumerate(detail.attempts):
        begun, ended = attempt.started_ms, attempt.ended_ms or record.ended_ms or now_ms
        if begun > last:
            phases.append(("waited", "queued", last, begun))
        phases.append(
            (f"attempt {index + 1}" if len(detail.attempts) > 1 else "ran", state_word(attempt.outcome), begun, ended)
        )
        last = max(last, ended)
    if not detail.attempts:
        begun = record.started_ms
        if begun:
            phases.append(("waited", "queued", record.queued_ms, begun))
            phases.append(("ran", state_word(record.state), begun, record.ended_ms or now_ms))
        else:
            phases.append(
                ("waits" if not record.ended_ms else "waited", "queued", record.queued_ms, record.ended_ms or now_ms)
            )
    start, end = record.queued_ms, max([record.ended_ms or now_ms, *(phase[3] for phase in phases)])
    whole = max(end - start, 1)
    return [
        {
            "name": name,
            "state": word,
            "at_ms": begun,
            "seconds": (ended - begun) / 1000,
            "x": round((begun - start) * 1000 / whole, 1),
            "width": max(round((ended - begun) * 1000 / whole, 1), 3),
        }
        for name, word, begun, ended in phases
    ]


def tree(nodes: list[CallGraphNode]) -> list[tuple[int, CallGraphNode]]:
    """Return nodes with their depth, each below what called it."""
    below: dict[str, list[CallGraphNode]] = {}
    known = {node.input_id for node in nodes}
    for node in nodes:
        below.setdefault(node.parent_input_id if node.parent_input_id in known else "", []).append(node)
    found: list[tuple[int, CallGraphNode]] = []
    waiting = [(0, node) for node in reversed(below.get("", []))]
    while waiting and len(found) < NODES:
        depth, node = waiting.pop()
        found.append((depth, node))
        if node.input_id:
            waiting += [(depth + 1, child) for child in reversed(below.get(node.input_id, []))]
    return found


async def _graph(asked: Asked, call_id: str) -> Table | None:
    try:
        graph = await asked.ask("Calls.Graph", CallGraphRequest(call_id=call_id))
    except (NotFound, InvalidRequest, Denied):
        return None
    if len(graph.nodes) < 2:
        return None
    rows = [
        Row(
            f"node-{index}",
            (
                text("\u2003" * min(depth, 20) + (node.function_name or "?")),
                state(_STATUS.get(node.status, "unknown")),
                code(node.input_id or "–", f"/calls/{node.input_id}" if node.input_id else ""),
                code(node.container_id or "–", f"/containers/{node.container_id}" if node.container_id else ""),
            ),
        )
        for index, (depth, node) in enumerate(tree(graph.nodes))
    ]
    more = "More are left out." if graph.truncated or len(graph.nodes) > NODES else ""
    return Table(("Function", "State", "Input", "Container"), rows, "", "", more)


async def _lines(asked: Asked, record: Record) -> list[object]:
    found: list[object] = []
    if not await asked.may_read_logs(record.environment):
        return found
    request = LogReadRequest(app_id=record.app_id, call_id=record.call_id, tail=LINES)
    # A token that may not read logs sees the rest of the page.
    with contextlib.suppress(NotFound, InvalidRequest, Denied):
        async for chunk in follow(asked.caller, "Logs.Read", request):
            found += [
                line for line in chunk.lines if len(record.input_id) == 0 or line.input_id in (record.input_id, "")
            ]
    return found[-LINES:]


async def data(asked: Asked) -> Data:
    """Return what the page shows: of an input all, of a call of many its inputs."""
    record_id = asked.parts["id"]
    answer = await asked.ask("Records.Show", RecordShowRequest(record_id=record_id, limit=INPUTS))
    detail = answer.records[0]
    record = detail.record
    is_many = record_id.startswith("fc-") and sum(one.count for one in answer.counts) > 1
    about = [
        ("Call", code(record.call_id, f"/calls/{record.call_id}" if record_id != record.call_id else "")),
        ("Called by", text(kind_word(record.kind))),
        ("Queued", when(record.queued_ms)),
        ("Waited", text(words.seconds(waited(record)))),
        ("Ran", text(words.seconds(ran(record)))),
        (
            "Container",
            code(record.container_id or "–", f"/containers/{record.container_id}" if record.container_id else ""),
        ),
        ("Argument", text(words.size(record.argument_bytes))),
        ("Result", text(words.size(record.result_bytes))),
        ("Version", text(f"v{record.version}" if record.version else "–")),
    ]
    if record.parent_input_id:
        about.append(("Called from", code(record.parent_input_id, f"/calls/{record.parent_input_id}")))
    if record.replay_of:
        about.append(("Run again of", code(record.replay_of, f"/calls/{record.replay_of}")))
    if record.replayed_by:
        about.append(("Run again as", code(record.replayed_by, f"/calls/{record.replayed_by}")))
    attempts = [
        Row(
            f"attempt-{index}",
            (
                text(str(index + 1)),
                state(state_word(one.outcome)),
                when(one.started_ms),
                text(
                    words.seconds((one.ended_ms - one.started_ms) / 1000 if one.ended_ms and one.started_ms else None)
                ),
                code(one.container_id or "–", f"/containers/{one.container_id}" if one.container_id else ""),
                long(one.error),
            ),
        )
        for index, one in enumerate(detail.attempts)
    ]
    return {
        "record_id": record_id,
        "record": record,
        "name": named(record),
        "word": state_word(record.state),
        "is_many": is_many,
        "kept": [one.record.input_id for one in answer.records if one.record is not None and one.record.kept],
        "is_main": asked.environment == "main",
        "counts": [(state_word(one.state), one.count) for one in answer.counts],
        "inputs": record_table([one.record for one in answer.records], with_function=False) if is_many else None,
        "about": about,
        "phases": [] if is_many else timeline(detail, asked.now_ms),
        "attempts": Table(
            ("Attempt", "State", "Began", "Ran", "Container", "Error"), attempts, "No container has had it."
        ),
        "traceback": detail.traceback,
        "lines": [] if is_many else await _lines(asked, record),
        "graph": await _graph(asked, record.call_id),
    }


async def run_again(asked: Asked, form: Mapping[str, str]) -> Done:
    """Run failed inputs of the call again, with the arguments that are kept."""
    record_id = asked.parts["id"]
    answer = await asked.ask("Records.Show", RecordShowRequest(record_id=record_id, limit=INPUTS))
    kept = [one.record.input_id for one in answer.records if one.record is not None and one.record.kept]
    if not kept:
        raise NotFound(f"nothing is kept of {record_id} to run it again: it has not failed, or was dropped")
    which = ReplayVersion.FAILED if form.get("version") == "failed" else ReplayVersion.NEWEST
    request = ReplayRunRequest(
        environment=asked.environment, input_ids=kept[:INPUTS], version=which, operation_id=new_id("op")
    )
    inputs = (await asked.ask("Replays.Run", request)).inputs
    run = [one for one in inputs if one.new_input_id]
    problems = "".join(f" {one.input_id}: {one.problem}." for one in inputs if one.problem)[:300]
    there = f"/calls/{run[0].call_id}" if len(inputs) == 1 and run else f"/calls/{record_id}"
    return Done(there, f"{words.counted(len(run), 'failed input')} run again.{problems}")


ACTIONS = (Action("/calls/{id}/retry", run_again),)
PAGE = Page("/calls/{id}", "call.html", data, live=("head", "timeline", "inputs", "log", "graph"), section="Calls")
