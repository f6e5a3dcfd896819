"""Functions and methods that wrap others: what a plain one returns is found out as it runs."""

from typing import Any

import pytest

from tests.integration.runner.scripted_agent import ScriptedAgent

SOURCE = """
import asyncio, contextvars, functools, threading, time

seen = contextvars.ContextVar("seen", default=0)

async def inner(x):
    await asyncio.sleep(0)
    return x + 1

@functools.wraps(inner)
def finished(x): return asyncio.run(inner(x))

@functools.wraps(inner)
def handed_on(x): return inner(x)

@functools.wraps(inner)
def batched(xs): return [asyncio.run(inner(x)) for x in xs]

@functools.wraps(inner)
def where(x): return threading.current_thread() is threading.main_thread()

@functools.wraps(inner)
def busy(x):
    while x == 0: pass
    return x

@functools.wraps(inner)
def stops(x): raise StopIteration(x)

async def numbers(n):
    for x in range(n):
        await asyncio.sleep(0)
        yield x

@functools.wraps(numbers)
def yields_theirs(n): return numbers(n)

@functools.wraps(numbers)
def yields_own(n):
    for x in range(n):
        seen.set(seen.get() + 1)
        yield seen.get() - 1

def plain_numbers(n): yield from range(n)

@functools.wraps(plain_numbers)
def not_marked(n): return plain_numbers(n)
"""


def give(agent: ScriptedAgent, function: str, argument: Any, **options: Any) -> str:
    agent.load(SOURCE, function, **options)
    return agent.give((argument,))[0]


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("function", ["finished", "handed_on"])
def test_a_plain_function_around_a_coroutine_function(agent: ScriptedAgent, function: str, concurrency: int) -> None:
    assert agent.value(give(agent, function, 1, concurrency=concurrency)) == 2
    assert [agent.value(input_id) for input_id in agent.give((5,), (7,))] == [6, 8]


def test_it_runs_where_a_plain_function_runs(agent: ScriptedAgent) -> None:
    assert agent.value(give(agent, "where", 1)) is True


def test_it_is_interrupted_as_a_plain_function_is(agent: ScriptedAgent) -> None:
    input_id = give(agent, "busy", 0, timeout_s=0.2)
    assert agent.failure(input_id)["kind"] == "timeout"
    assert agent.value(agent.give((1,))[0]) == 1


def test_it_may_raise_what_no_future_takes(agent: ScriptedAgent) -> None:
    assert "StopIteration" in agent.failure(give(agent, "stops", 1))["message"]


def test_a_batch(agent: ScriptedAgent) -> None:
    assert agent.value(give(agent, "batched", 1, batch={"max_size": 1, "wait_ms": 0})) == 2


# Not ("yields_own", 3): each step of a plain generator runs there in a thread of its own, with a copy of the context.
@pytest.mark.parametrize(("function", "concurrency"), [("yields_theirs", 1), ("yields_own", 1), ("yields_theirs", 3)])
def test_generators_around_asynchronous_ones(agent: ScriptedAgent, function: str, concurrency: int) -> None:
    input_id = give(agent, function, 3, concurrency=concurrency, is_generator=True)
    agent.value(input_id)
    assert agent.yields(input_id) == [0, 1, 2]


def test_a_generator_where_a_value_was_meant_says_what_to_do(agent: ScriptedAgent) -> None:
    assert "decorate it with is_generator=True" in agent.failure(give(agent, "not_marked", 3))["message"]
