"""Inputs whose arguments are JSON: answered in JSON, by every way of running inputs."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.runner.scripted_agent import ScriptedAgent

JSON = 2
WAYS = pytest.mark.parametrize(
    ("head", "options"),
    [("def", {}), ("def", {"concurrency": 3}), ("async def", {"is_async": True})],
    ids=["serial", "threads", "tasks"],
)


def give(agent: ScriptedAgent, *bodies: bytes, keep: bool = False, run: int | None = None) -> list[str]:
    ids = [f"in-j{index}" for index in range(len(bodies))]
    header: dict[str, Any] = {"t": "inputs", "rows": [[name, "fc-1", JSON, None] for name in ids]}
    if keep:
        header["keep"] = ids
    if run is not None:
        header["runs"] = [run] * len(ids)
    agent.send(header, bodies)
    return ids


def answer(agent: ScriptedAgent, input_id: str) -> tuple[int, Any]:
    """Return the format and the value of an answer."""
    agent.until(lambda: input_id in agent.answered())
    assert input_id not in agent.failures(), agent.failures()[input_id]
    for header, parts in agent.seen:
        if header["t"] == "outputs":
            for row, part in zip(header["rows"], parts, strict=True):
                if row[0] == input_id:
                    data = part if row[2] is None else (agent.directory / "values" / row[2]).read_bytes()
                    assert row[3] == len(data)
                    return row[1], json.loads(data)
    raise AssertionError("no answer")


@WAYS
def test_json_is_answered_in_json_beside_pickles(agent: ScriptedAgent, head: str, options: dict[str, Any]) -> None:
    agent.load(f"{head} f(x, *, y=0): return {{'sum': x + y, 'kind': type(x).__name__}}", **options)

    ids = give(agent, b'{"args": [1], "kwargs": {"y": 2}}', b'{"args": ["a"], "kwargs": {"y": "\xc3\xa9"}}')
    (pickled,) = agent.give((3,))

    assert answer(agent, ids[0]) == (JSON, {"sum": 3, "kind": "int"})
    assert answer(agent, ids[1]) == (JSON, {"sum": "aé", "kind": "str"})
    assert agent.until(lambda: pickled in agent.answered())
    rows = {row[0]: row[1] for row in agent.output_rows()}
    assert rows[pickled] == 1


@WAYS
def test_what_json_can_not_hold_is_a_failure_that_names_it(
    agent: ScriptedAgent, head: str, options: dict[str, Any]
) -> None:
    agent.load(f"{head} f(x): return {{'rows': [x, {{1}}]}}", **options)
    (input_id,) = give(agent, b'{"args": [1]}')
    failure = agent.failure(input_id)
    assert (failure["kind"], failure["type"]) == ("serialization", "wherry.exception.SerializationError")
    assert "result['rows'][1] is of type set, which JSON can't hold" in failure["message"]


def test_arguments_that_are_no_json_are_a_failure(agent: ScriptedAgent) -> None:
    agent.load("def f(*args): return 1")
    ids = give(agent, b"[1]", b'{"args": ' + b"[" * 100_000, b'{"args": [NaN]}', b"\xff")
    for input_id in ids:
        failure = agent.failure(input_id)
        assert failure["kind"] == "serialization"
        assert "the arguments could not be read in the container" in failure["message"]


def test_a_class_that_raises_while_it_is_written_fails_its_input_alone(agent: ScriptedAgent) -> None:
    agent.load(
        """
        class Odd(dict):
            def items(self):
                raise SystemExit("no")

        def f(x):
            return Odd(a=1) if x else "fine"
        """
    )
    ids = give(agent, b'{"args": [1]}', b'{"args": [0]}')
    assert "the result could not be written as JSON" in agent.failure(ids[0])["message"]
    assert answer(agent, ids[1]) == (JSON, "fine")


def test_large_arguments_come_from_a_file_and_a_large_value_goes_over_its_own_socket(agent: ScriptedAgent) -> None:
    agent.load("def f(text): return text + '!'")
    text = "x" * (3 << 20)
    (agent.directory / "in" / "blob").write_bytes(json.dumps({"args": [text]}).encode())
    agent.send({"t": "inputs", "rows": [["in-1", "fc-1", JSON, "blob"]]}, [b""])
    assert answer(agent, "in-1") == (JSON, text + "!")


@WAYS
def test_a_generator_yields_json_and_ends_so(agent: ScriptedAgent, head: str, options: dict[str, Any]) -> None:
    agent.load(
        f"""
        {head} f(n):
            for i in range(n):
                yield {{"i": i}} if i < 3 else {{i}}
        """,
        is_generator=True,
        **options,
    )
    (input_id,) = give(agent, b'{"args": [3]}', run=7)
    assert answer(agent, input_id) == (JSON, None)
    rows = [
        (row[1], row[2], json.loads(part))
        for header, parts in agent.seen
        if header["t"] == "yields"
        for row, part in zip(header["rows"], parts, strict=True)
    ]
    assert rows == [(i, JSON, {"i": i}) for i in range(3)]


def test_a_value_of_a_generator_that_json_can_not_hold_is_named(agent: ScriptedAgent) -> None:
    agent.load("def f():\n    yield 1\n    yield {2}", is_generator=True)
    (input_id,) = give(agent, b"{}", run=1)
    failure = agent.failure(input_id)
    assert "yielded[1] is of type set" in failure["message"]
    assert failure["num_yields"] == 1


def test_batches_mix_json_and_pickles(agent: ScriptedAgent) -> None:
    agent.load("def f(xs): return [x * len(xs) for x in xs]", batch={"max_size": 2, "wait_ms": 60_000})
    (first,) = give(agent, b'{"args": [2]}')
    (second,) = agent.give((3,))
    assert answer(agent, first) == (JSON, 4)
    agent.until(lambda: second in agent.answered())
    assert {row[0]: row[1] for row in agent.output_rows()} == {first: JSON, second: 1}


def test_answers_that_are_kept_are_said_again_as_json(agent: ScriptedAgent) -> None:
    agent.load("def f(x): return x")
    (input_id,) = give(agent, b'{"args": [5]}', keep=True)
    assert answer(agent, input_id) == (JSON, 5)
    agent.seen.clear()
    agent.hang_up()
    agent.accept()
    assert answer(agent, input_id) == (JSON, 5)


def test_json_is_loaded_only_for_such_inputs(agent: ScriptedAgent, tmp_path: Path) -> None:
    agent.load("import sys\ndef f(): return 'wherry_runner.json_values' in sys.modules")
    (pickled,) = agent.give(())
    assert agent.value(pickled) is False
    assert answer(agent, give(agent, b"{}")[0]) == (JSON, True)
