"""Exceptions that the failure path itself could stumble over: each is one answer, and the container lives."""

import pytest

from tests.integration.runner.scripted_agent import ScriptedAgent

SOURCE = """
import asyncio, dataclasses, os, signal, time

@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int

class Sealed(Exception):
    def __setattr__(self, name, value): raise TypeError("sealed")

class StrExits(Exception):
    def __str__(self): raise SystemExit(3)

class ReduceInterrupts(Exception):
    def __reduce__(self): raise KeyboardInterrupt

class Exits:
    def __getstate__(self): raise SystemExit(4)

class SetStateExits:
    def __getstate__(self): return 1
    def __setstate__(self, state): raise SystemExit(5)

ERRORS = {cls.__name__: cls for cls in (Frozen, Sealed, StrExits, ReduceInterrupts)}
runs = 0

def act(what):
    global runs
    if what == "runs":
        return runs, os.getpid()
    runs += 1
    if what == "unpicklable value":
        return Exits()
    raise ERRORS[what](3)

def plain(what): return act(what)
def values(what): yield act(what)
async def coroutine(what): return act(what)
async def late(what):
    await asyncio.sleep(0)
    yield act(what)
def batch(whats): return [act(what) for what in whats]
"""

WAYS = {
    "plain": {},
    "values": {"is_generator": True},
    "coroutine": {"is_async": True, "concurrency": 2},
    "late": {"is_async": True, "is_generator": True},
    "threads": {"concurrency": 4},
    "batch": {"batch": {"max_size": 1, "wait_ms": 0}},
}


@pytest.mark.parametrize("way", WAYS)
def test_each_is_one_failure_and_the_container_lives(agent: ScriptedAgent, way: str) -> None:
    options = dict(WAYS[way])
    agent.load(SOURCE, "plain" if way == "threads" else way, **options)

    def value(what: str) -> object:
        (input_id,) = agent.give((what,))
        found = agent.value(input_id)
        return agent.yields(input_id)[0] if options.get("is_generator") else found

    _, process = value("runs")  # type: ignore[misc]
    kinds = ["Frozen", "Sealed", "StrExits", "ReduceInterrupts"]
    for kind in kinds:
        failure = agent.failure(agent.give((kind,))[0])
        assert failure["type"] == f"job.{kind}"
        assert "in act" in failure["traceback"]
    failure = agent.failure(agent.give(("unpicklable value",))[0])
    assert failure["kind"] == "serialization"
    assert "SystemExit" in failure["message"]
    assert value("runs") == (5, process)


def test_loop_stop_is_an_error_of_who_calls_it(agent: ScriptedAgent) -> None:
    agent.load(
        """
        import asyncio
        async def f(what):
            loop = asyncio.get_running_loop()
            if what == "stop": loop.stop()
            if what == "later": loop.call_soon(loop.stop)
            if what == "cancel":
                for task in asyncio.all_tasks(): task.cancel()
            await asyncio.sleep(0.01)
            return what
        """,
        is_async=True,
        concurrency=2,
    )
    assert "can't be stopped" in agent.failure(agent.give(("stop",))[0])["message"]
    assert agent.value(agent.give(("later",))[0]) == "later"
    assert agent.failure(agent.give(("cancel",))[0])["type"] == "asyncio.exceptions.CancelledError"
    assert agent.value(agent.give(("fine",))[0]) == "fine"


def test_an_alarm_after_the_function_is_over_costs_nothing(agent: ScriptedAgent) -> None:
    agent.load(
        """
        import os, signal
        class Alarm(Exception): pass
        def ring(number, frame): raise Alarm("late")
        def f(seconds):
            if seconds:
                signal.signal(signal.SIGALRM, ring)
                signal.setitimer(signal.ITIMER_REAL, seconds)
            return os.getpid()
        """
    )
    process = agent.value(agent.give((0.05,))[0])
    # It lost what may have come meanwhile with its connection: on the new one it says what it holds.
    assert agent.accept()["running"] == []
    agent.until(lambda: any("Alarm: late" in line for _, line in agent.lines(2)))
    assert agent.value(agent.give((0,))[0]) == process


@pytest.mark.parametrize("kind", ["Frozen", "Sealed", "StrExits", "ReduceInterrupts"])
def test_a_module_that_raises_one_is_named(agent: ScriptedAgent, kind: str) -> None:
    agent.load(SOURCE + f"\nraise {kind}(3)", "plain", wait=False)
    header, _ = agent.frame("load_failed")
    assert header["type"] == f"job.{kind}"
    assert agent.exit_code() == 1
