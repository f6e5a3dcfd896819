"""What pages make of what the service says: timelines, call graphs, versions, lines."""

import json

from wherry_proto.messages import (
    CallGraphNode,
    DeployedFunction,
    Deployment,
    FunctionSpec,
    LogLine,
    Record,
    RecordAttempt,
    RecordDetail,
    RecordState,
    Stream,
)
from wherry_service.ui.pages.app import change_between
from wherry_service.ui.pages.call import NODES, timeline, tree
from wherry_service.ui.pages.calls import ran, record_table, waited
from wherry_service.ui.stream import lines_event
from wherry_service.ui.words import plain


def _phases(detail: RecordDetail, now_ms: int = 10_000) -> list[tuple[object, ...]]:
    return [(one["name"], one["state"], one["seconds"], one["x"], one["width"]) for one in timeline(detail, now_ms)]


def test_the_timeline_of_an_input_that_ran() -> None:
    record = Record(queued_ms=1000, started_ms=2000, ended_ms=5000, state=RecordState.SUCCEEDED)
    assert _phases(RecordDetail(record=record)) == [
        ("waited", "queued", 1.0, 0.0, 250.0),
        ("ran", "succeeded", 3.0, 250.0, 750.0),
    ]
    assert (waited(record), ran(record)) == (1.0, 3.0)


def test_the_timeline_of_attempts_and_of_one_that_waits() -> None:
    record = Record(queued_ms=0, started_ms=600, ended_ms=1000, state=RecordState.FAILED)
    attempts = [
        RecordAttempt(started_ms=100, ended_ms=300, outcome=RecordState.LOST),
        RecordAttempt(started_ms=600, ended_ms=1000, outcome=RecordState.FAILED),
    ]
    assert [one[:3] for one in _phases(RecordDetail(record=record, attempts=attempts))] == [
        ("waited", "queued", 0.1),
        ("attempt 1", "lost", 0.2),
        ("waited", "queued", 0.3),
        ("attempt 2", "failed", 0.4),
    ]
    waits = Record(queued_ms=9000, state=RecordState.QUEUED)
    assert _phases(RecordDetail(record=waits)) == [("waits", "queued", 1.0, 0.0, 1000.0)]
    assert (waited(waits), ran(waits)) == (None, None)


def test_a_graph_is_a_tree_without_end() -> None:
    nodes = [CallGraphNode(input_id="a"), CallGraphNode(input_id="b", parent_input_id="a"), CallGraphNode(input_id="c")]
    assert [(depth, node.input_id) for depth, node in tree(nodes)] == [(0, "a"), (1, "b"), (0, "c")]
    # Who is not in it is not waited for; and a circle, which none should be, ends.
    lost = [CallGraphNode(input_id="x", parent_input_id="gone")]
    assert [depth for depth, _ in tree(lost)] == [0]
    circle = [CallGraphNode(input_id="a", parent_input_id="b"), CallGraphNode(input_id="b", parent_input_id="a")]
    assert tree(circle) == []
    assert len(tree([CallGraphNode(input_id=str(number)) for number in range(2 * NODES)])) == NODES


def test_how_versions_differ() -> None:
    def version(**images: str) -> Deployment:
        specs = [FunctionSpec(name=name, image_id=image) for name, image in images.items()]
        return Deployment(functions=[DeployedFunction(spec=spec) for spec in specs])

    older, newer = version(f="im-1", g="im-1", h="im-1"), version(f="im-1", g="im-2", new="im-1")
    assert change_between(older, newer) == "+ new, − h, g: another image"
    assert change_between(newer, newer) == "the same functions and images"
    assert change_between(None, version(f="im-1")) == "+ f"


def test_lines_come_with_the_position_of_the_last_and_without_what_terminals_do() -> None:
    lines = [
        LogLine(position=7, at_ms=1, stream=Stream.STDERR, text="\x1b[31mred\x1b[0m\n", container_id="co-1"),
        LogLine(position=9, text="a\r\nid: 1\n\nevent: evil\x00</script>"),
    ]
    sent = lines_event(lines).decode()
    assert sent.startswith("id: 9\nevent: lines\ndata: [")
    # All in one line: text makes no events.
    assert sent.count("\n") == 4
    rows = json.loads(sent.split("data: ")[1])
    assert rows[0] == [7, 1, "stderr", "co-1", "red"]
    assert plain("tab\tstays \x1b]0;title\x07gone") == "tab\tstays 0;titlegone"


def test_an_error_in_a_table_is_cut() -> None:
    record = Record(input_id="in-1", state=RecordState.FAILED, error="x" * 500)
    (row,) = record_table([record]).rows
    assert len(str(row.cells[-1].value)) == 160
