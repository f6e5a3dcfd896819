"""Batches, from frames to their answers: serial, on threads and as tasks."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.runner.scripted_agent import ScriptedAgent

PLAIN = "def f(xs): return [(x, len(xs)) for x in xs]"
TASK = "async def f(xs): return [(x, len(xs)) for x in xs]"
WAYS = pytest.mark.parametrize(
    ("head", "options"),
    [("def", {}), ("def", {"concurrency": 3}), ("async def", {"is_async": True})],
    ids=["serial", "threads", "tasks"],
)


def load(agent: ScriptedAgent, source: str, max_size: int, wait_ms: int, **options: Any) -> None:
    agent.load(source, batch={"max_size": max_size, "wait_ms": wait_ms}, **options)


@WAYS
def test_b43_full_batches_begin_at_once(agent: ScriptedAgent, head: str, options: dict[str, Any]) -> None:
    load(agent, f"{head} f(xs): return [(x, len(xs)) for x in xs]", 4, 60_000, **options)

    ids = agent.give(*((i,) for i in range(8)))

    assert [agent.value(i) for i in ids] == [(i, 4) for i in range(8)]


@WAYS
def test_b43_a_batch_closes_when_its_first_input_has_waited(
    agent: ScriptedAgent, head: str, options: dict[str, Any]
) -> None:
    load(agent, f"{head} f(xs): return [(x, len(xs)) for x in xs]", 4, 300, **options)
    began = time.monotonic()

    first = agent.give((0,))
    rest = agent.give((1,), (2,))

    assert [agent.value(i) for i in [*first, *rest]] == [(0, 3), (1, 3), (2, 3)]
    assert 0.28 < time.monotonic() - began < 2


@WAYS
def test_b43_without_a_wait_a_batch_is_what_is_there(agent: ScriptedAgent, head: str, options: dict[str, Any]) -> None:
    load(agent, f"{head} f(xs): return [x + 1 for x in xs]", 1000, 0, **options)

    for i in range(20):
        assert agent.value(agent.give((i,))[0]) == i + 1
    ids = agent.give(*((i,) for i in range(2500)))
    assert [agent.value(i) for i in ids] == list(range(1, 2501))


@WAYS
def test_b43_what_gathers_runs_when_the_container_is_to_end(
    agent: ScriptedAgent, head: str, options: dict[str, Any]
) -> None:
    load(agent, f"{head} f(xs): return [(x, len(xs)) for x in xs]", 10, 600_000, **options)
    ids = agent.give((1,), (2,))
    agent.send({"t": "drain"})

    assert [agent.value(i) for i in ids] == [(1, 2), (2, 2)]
    assert agent.exit_code() == 0


@WAYS
@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("xs[:-1]", "return a list of 3, one for each input, and returned a list of 2"),
        ("tuple(xs)", "returned a tuple"),
        ("None", "returned a NoneType"),
    ],
)
def test_b43_a_result_that_does_not_fit_fails_all_of_its_batch(
    agent: ScriptedAgent, head: str, options: dict[str, Any], returned: str, said: str
) -> None:
    load(agent, f"{head} f(xs): return {returned} if 'bad' in xs else xs", 3, 50, **options)

    bad = agent.give(("bad",), (1,), (2,))
    good = agent.give((3,), (4,), (5,))

    for input_id in bad:
        assert said in agent.failure(input_id)["message"]
        assert "f is batched" in agent.failure(input_id)["message"]
    assert [agent.value(i) for i in good] == [3, 4, 5]


@WAYS
def test_b43_an_exception_is_the_failure_of_each(agent: ScriptedAgent, head: str, options: dict[str, Any]) -> None:
    load(agent, f"{head} f(xs): raise KeyError(len(xs))", 3, 50, **options)

    for input_id in agent.give((1,), (2,), (3,)):
        error = agent.exception(input_id)
        assert (type(error), error.args) == (KeyError, (3,))


def test_b43_parameters_by_position_name_and_default(agent: ScriptedAgent) -> None:
    load(agent, "def f(a, b='B', *, c='C'): return list(zip(a, b, c))", 4, 10_000)

    ids = agent.give((1,), (2,), b="x", c="y")
    ids += agent.give((3, "z"))
    ids += agent.give((4,), c="w")

    values = [agent.value(i) for i in ids]
    assert values == [(1, "x", "y"), (2, "x", "y"), (3, "z", "C"), (4, "B", "w")]


def test_b43_an_input_that_does_not_fit_the_parameters_fails_alone(agent: ScriptedAgent) -> None:
    load(agent, "def f(a): return a", 3, 10_000)
    (one,) = agent.give((1,))
    (bad,) = agent.give((1, 2))
    (two,) = agent.give((2,))

    assert [agent.value(one), agent.value(two)] == [1, 2]
    assert agent.failure(bad)["type"] == "builtins.TypeError"


def test_b43_an_input_that_can_not_be_unpickled_fails_alone(agent: ScriptedAgent) -> None:
    load(agent, PLAIN, 2, 10_000)
    agent.send({"t": "inputs", "rows": [["in-bad", "fc-1", 1, None]]}, [b"\x80\x04cno_such_module\nX\n."])
    (good,) = agent.give((1,))

    assert agent.failure("in-bad")["kind"] == "serialization"
    assert agent.value(good) == (1, 1)


@WAYS
def test_b43_cancelling_an_input_that_gathers_drops_it_alone(
    agent: ScriptedAgent, head: str, options: dict[str, Any]
) -> None:
    load(agent, f"{head} f(xs): return [(x, len(xs)) for x in xs]", 3, 60_000, **options)
    first, second = agent.give((1,), (2,))
    agent.send({"t": "cancel", "inputs": [first]})

    assert agent.failure(first)["kind"] == "cancelled"
    third, fourth = agent.give((3,), (4,))
    assert [agent.value(i) for i in (second, third, fourth)] == [(2, 3), (3, 3), (4, 3)]


SLOW = "import time, asyncio\nTIMES = []\n"


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (
            SLOW + "def f(xs):\n  TIMES.append(1)\n  while max(xs) and len(TIMES) == 1: time.sleep(0.01)\n  return xs",
            {},
        ),
        (
            SLOW
            + "async def f(xs):\n  TIMES.append(1)\n"
            + "  while max(xs) and len(TIMES) == 1: await asyncio.sleep(0.01)\n  return xs",
            {"is_async": True},
        ),
    ],
)
def test_b43_cancelling_all_of_a_running_batch_interrupts_it(
    agent: ScriptedAgent, source: str, options: dict[str, Any]
) -> None:
    load(agent, source, 2, 60_000, **options)
    first, second = agent.give((1,), (2,))
    agent.quiet_for(0.2)

    agent.send({"t": "cancel", "inputs": [first]})
    assert agent.failure(first)["kind"] == "cancelled"
    agent.quiet_for(0.2)
    assert second not in agent.answered()

    agent.send({"t": "cancel", "inputs": [second]})
    assert agent.failure(second)["kind"] == "cancelled"
    assert [agent.value(i) for i in agent.give((0,), (0,))] == [0, 0]


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("import time\ndef f(xs):\n  time.sleep(max(xs))\n  return xs", {}),
        ("import time\ndef f(xs):\n  time.sleep(max(xs))\n  return xs", {"concurrency": 2}),
        ("import asyncio\nasync def f(xs):\n  await asyncio.sleep(max(xs))\n  return xs", {"is_async": True}),
    ],
)
def test_b28_a_batch_over_its_time_fails_as_one(agent: ScriptedAgent, source: str, options: dict[str, Any]) -> None:
    load(agent, source, 2, 60_000, timeout_s=0.4, **options)

    for input_id in agent.give((30,), (0,)):
        assert agent.failure(input_id)["kind"] == "timeout"
    assert [agent.value(i) for i in agent.give((0,), (0,))] == [0, 0]


def test_what_gathers_is_given_back_on_recall(agent: ScriptedAgent) -> None:
    load(agent, PLAIN, 3, 60_000)
    ids = agent.give((1,), (2,))
    agent.send({"t": "recall"})

    assert agent.frame("returned")[0]["inputs"] == ids
    agent.give((1,), (2,), (3,), input_ids=[*ids, "in-9"])
    assert [agent.value(i) for i in [*ids, "in-9"]] == [(1, 3), (2, 3), (3, 3)]


def test_b37_batches_run_beside_each_other(agent: ScriptedAgent) -> None:
    load(agent, "import time\ndef f(xs):\n  time.sleep(1)\n  return xs", 2, 60_000, concurrency=3)
    began = time.monotonic()
    ids = agent.give(*((i,) for i in range(6)))

    assert [agent.value(i) for i in ids] == list(range(6))
    assert time.monotonic() - began < 2.5


def test_a_batch_goes_by_the_name_of_its_first_input(agent: ScriptedAgent, tmp_path: Path) -> None:
    load(
        agent,
        "import sys\ndef f(xs):\n  print('here')\n"
        "  return [sys.modules['wherry_runner.context'].input_id.get()] * len(xs)",
        2,
        60_000,
    )
    first, second = agent.give((1,), (2,))

    assert [agent.value(first), agent.value(second)] == [first, first]
    assert agent.lines(1) == [(first, "here")]
