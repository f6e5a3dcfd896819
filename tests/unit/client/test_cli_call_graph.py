"""`wherry call graph`: what led to a call and what it called, on a fake service."""

import json
from collections.abc import Callable

import pytest

from tests.fakes.records import Recorded, record
from wherry_proto.messages import CallGraph, CallGraphNode, InputStatus, RecordState

Run = Callable[..., int]
Told = pytest.CaptureFixture[str]

GOOD = record("A")
BAD = record("B", RecordState.FAILED, error="ValueError: row 17")


@pytest.fixture
def service() -> Recorded:
    service = Recorded()
    service.records = [BAD, GOOD]
    return service


def node(name: str, parent: str = "", call: str = "", status: int = InputStatus.SUCCESS) -> CallGraphNode:
    return CallGraphNode(
        input_id=f"in-{name}", call_id=f"fc-{call or name}", parent_input_id=parent and f"in-{parent}", status=status,
        function_name=name.rstrip("0123456789"),
    )  # fmt: skip


def test_a_graph_is_a_tree(run: Run, capsys: Told, service: Recorded) -> None:
    inner = [node(f"inner{number}", "main", "map") for number in range(7)]
    nodes = [node("main"), *inner, node("bad", "main", "map", InputStatus.FAILURE), node("deep", "inner3")]
    service.graphs[GOOD.call_id] = CallGraph(nodes=nodes)
    assert run("", "call", "graph", GOOD.input_id) == 0
    assert capsys.readouterr().out.splitlines() == [
        "main  succeeded  in-main",
        "├─ inner  6 succeeded  fc-map",
        "├─ inner  succeeded  in-inner3",
        "│  └─ deep  succeeded  in-deep",
        "└─ bad  failed  in-bad",
    ]
    assert run("", "call", "graph", GOOD.input_id, "--all") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(nodes)
    assert run("", "call", "graph", GOOD.input_id, "--json") == 0
    root, *below = json.loads(capsys.readouterr().out)
    assert (root["input_id"], root["parent_input_id"]) == ("in-main", None)
    assert [one["input_id"] for one in below if one["parent_input_id"] == "in-main"] == [
        *(f"in-inner{number}" for number in range(7)), "in-bad",
    ]  # fmt: skip
    assert [one["function_name"] for one in below if one["parent_input_id"] == "in-inner3"] == ["deep"]


def test_a_graph_of_any_depth_is_shown(run: Run, capsys: Told, service: Recorded) -> None:
    nodes = [node("f0"), *(node(f"f{number}", f"f{number - 1}") for number in range(1, 3000))]
    service.graphs[GOOD.call_id] = CallGraph(nodes=nodes, truncated=True)
    assert run("", "call", "graph", GOOD.call_id, "--json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert "There are more" in err
    assert (len(found), found[-1]["parent_input_id"]) == (3000, "in-f2998")
    assert run("", "call", "graph", GOOD.call_id) == 0
    assert capsys.readouterr().out.endswith("… and what is below: --json has it\n")


def test_a_call_that_led_to_none_is_a_graph_of_itself(run: Run, capsys: Told) -> None:
    assert run("", "call", "graph", BAD.call_id) == 0
    assert capsys.readouterr().out == f"price  failed  {BAD.input_id}  ← this one\n"


def test_a_graph_is_kept_longer_than_records(run: Run, capsys: Told, service: Recorded) -> None:
    service.records = []
    service.graphs[GOOD.call_id] = CallGraph(nodes=[node("main")], truncated=True)
    assert run("", "call", "graph", GOOD.call_id) == 0
    out, err = capsys.readouterr()
    assert out == "main  succeeded  in-main\n"
    assert "There are more" in err
    assert run("", "call", "graph", BAD.call_id) == 1
    assert "no call graph" in capsys.readouterr().err
