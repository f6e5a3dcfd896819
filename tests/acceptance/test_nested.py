"""Calls from inside containers."""

import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import wherry
from tests.acceptance.conftest import RunApp
from tests.waiting import wait_until
from wherry.call_graph import InputInfo


@pytest.fixture(scope="module")
def nested(run_app: RunApp) -> Iterator[ModuleType]:
    from tests.acceptance.apps import nested

    with run_app(nested.app):
        yield nested


def test_a_function_calls_another_of_its_app_without_a_network(nested: ModuleType) -> None:
    assert nested.ask.remote("remote", 21) == 42
    assert nested.ask.remote("map", 1000) == 999_000
    assert nested.ask.remote("generator", 1000) == list(range(1000))


def test_b19_large_values_go_both_ways_inside_too(nested: ModuleType) -> None:
    assert nested.ask.remote("size", 3 << 20) == 3 << 20


def test_a_call_and_a_function_are_handed_across(nested: ModuleType) -> None:
    call = nested.ask.remote("spawn", 4)

    assert isinstance(call, wherry.FunctionCall)
    assert call.get(timeout=30) == 8
    assert nested.ask.remote("get", call) == 8
    assert nested.ask.remote("call", nested.double, 5) == 10


def test_a_function_finds_those_of_another_app(nested: ModuleType, calls: ModuleType) -> None:
    assert nested.ask.remote("lookup", "acceptance", "add", 1, 2) == 3
    with pytest.raises(wherry.exception.NotFoundError, match="did you mean 'add'"):
        nested.ask.remote("lookup", "acceptance", "ad", 1, 2)


def test_b21_an_exception_comes_through_two_containers(nested: ModuleType) -> None:
    with pytest.raises(ValueError, match="from within"):
        nested.ask.remote("fail", "from within")


def test_calls_from_inside_disturb_no_package_of_the_image(nested: ModuleType) -> None:
    assert nested.ask_beside_old_packages.remote(1) == (2, "3.20.3", "1.51.3")
    assert nested.modules.remote(1) == (2, [])


def test_a_function_knows_ids_inside(nested: ModuleType) -> None:
    input_id, function_id = nested.ask.remote("ids")
    assert input_id.startswith("in-")
    assert function_id == nested.double.object_id


def test_an_app_can_not_be_run_inside(nested: ModuleType) -> None:
    with pytest.raises(wherry.exception.ExecutionError, match="running an app is not possible inside a container"):
        nested.ask.remote("run")


def test_a_function_that_calls_itself_gets_containers_enough(nested: ModuleType) -> None:
    assert nested.fibonacci.remote(5) == 5
    # Deeper than the processors carry such containers.
    depth = 2 * (os.cpu_count() or 1) + 2
    assert nested.countdown.remote(depth) == list(range(depth, -1, -1))


def test_b63_a_call_graph_shows_three_levels_while_it_runs_and_after(nested: ModuleType) -> None:
    assert nested.tree.remote() == 6
    call = nested.tree.spawn(3.0)

    def shown(nodes: list[InputInfo]) -> list[Any]:
        return [(node.function_name, node.status.name, shown(node.children)) for node in nodes]

    branches = [
        ("branch", "SUCCESS", [("leaf", "SUCCESS", []), ("leaf", "SUCCESS", [])]),
        ("branch", "SUCCESS", [("leaf", "SUCCESS", []), ("leaf", "FAILURE", [])]),
    ]
    running = [("tree", "RUNNING", [*branches, ("slow", "RUNNING", [])])]
    wait_until(lambda: shown(call.get_call_graph()) == running, "the graph shows the running call")
    assert call.get() == 6
    (root,) = call.get_call_graph()
    assert shown([root]) == [("tree", "SUCCESS", [*branches, ("slow", "SUCCESS", [])])]
    assert root.function_call_id == call.object_id
    assert root.module_name == "tests.acceptance.apps.nested"
    assert root.task_id.startswith("co-")
    # The service that ran it may have gone since.
    with pytest.raises(wherry.exception.NotFoundError):
        wherry.FunctionCall.from_id("fc-01M84FGRVRNANF8XXZSWHJDQ25").get_call_graph()


def test_a_cancelled_call_ends_those_it_made(nested: ModuleType) -> None:
    call = nested.ask.spawn("slow", 60.0)
    wait_until(lambda: nested.slow.get_current_stats().num_active_runners == 1, "the inner call runs")

    call.cancel()

    wait_until(lambda: nested.slow.get_current_stats().num_active_runners == 0, "the inner call has ended")
    with pytest.raises(wherry.exception.RemoteError):
        call.get(timeout=30)
