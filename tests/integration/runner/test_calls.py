"""Plain, concurrent and asynchronous calls, from a frame to its answer."""

import os
import pickle
import signal
import time

import pytest

from tests.integration.runner.scripted_agent import ScriptedAgent


def test_hello_says_what_runs(agent: ScriptedAgent) -> None:
    hello = agent.begin()

    assert hello["protocol"] == 1
    assert hello["running"] == []
    assert hello["loaded"] is False
    assert hello["python"].startswith("3.")
    assert hello["pid"] == agent.process.pid


def test_remote(agent: ScriptedAgent) -> None:
    agent.load("def f(a, b=1): return a * b")

    (first, second) = agent.give((2,), ("x",), b=4)

    assert agent.value(first) == 8
    assert agent.value(second) == "xxxx"


def test_inputs_may_follow_load_at_once(agent: ScriptedAgent) -> None:
    agent.load("import time; time.sleep(0.05)\ndef f(a): return a", wait=False)
    ids = agent.give(*((i,) for i in range(100)))

    assert [agent.value(i) for i in ids] == list(range(100))


def test_none_is_a_value(agent: ScriptedAgent) -> None:
    agent.load("def f(): pass")

    assert agent.value(agent.give(())[0]) is None


def test_environment_is_a_normal_one(agent: ScriptedAgent) -> None:
    agent.load(
        """
        import os, sys
        def f():
            main = sys.modules["__main__"].__name__
            return sys.argv, sys.path[0], sys.path[-1], main, os.environ["COLOUR"], os.getcwd()
        """,
        env={"COLOUR": "blue"},
    )
    argv, first, last, main, colour, cwd = agent.value(agent.give(())[0])
    source = str(agent.directory / "source")
    assert argv == [os.path.join(source, "job.py")]
    assert (first, last) == (source, str(agent.directory / "sdk"))
    assert (main, colour, cwd) == ("job", "blue", str(agent.directory))


def test_classes_of_the_script_resolve_under_main(agent: ScriptedAgent) -> None:
    agent.load(
        """
        class Point:
            def __init__(self, x): self.x = x
        def f(p): return p.x, type(p) is Point
        """
    )
    # What a client pickles whose script is the module: `__main__.Point` with x = 3.
    point = b"\x80\x04\x8c\x08__main__\x8c\x05Point\x93)\x81}\x8c\x01xK\x03sb\x85}\x86."
    agent.send({"t": "inputs", "rows": [["in-9", "fc-1", 1, None]]}, [point])

    assert agent.value("in-9") == (3, True)


def test_handles_are_unwrapped(agent: ScriptedAgent) -> None:
    agent.load(
        """
        class Handle:
            def __init__(self, f): self.f = f
            def get_raw_f(self): return self.f
        class Holder:
            @Handle
            def f(x): return x + 1
        """,
        qualname="Holder.f",
    )

    assert agent.value(agent.give((1,))[0]) == 2


def test_serialized_function(agent: ScriptedAgent) -> None:
    agent.begin()
    agent.send_load(serialized=pickle.dumps(len))

    assert agent.value(agent.give(("four",))[0]) == 4


def test_b37_threads_run_six_at_once(agent: ScriptedAgent) -> None:
    agent.load("import time\ndef f(x):\n  time.sleep(0.3)\n  return x", concurrency=6)
    began = time.monotonic()
    ids = agent.give(*((i,) for i in range(18)))

    assert [agent.value(i) for i in ids] == list(range(18))
    assert 0.85 < time.monotonic() - began < 4


def test_b37_tasks_run_six_at_once(agent: ScriptedAgent) -> None:
    agent.load("import asyncio\nasync def f(x):\n  await asyncio.sleep(0.3)\n  return x", concurrency=6, is_async=True)
    began = time.monotonic()
    ids = agent.give(*((i,) for i in range(18)))

    assert [agent.value(i) for i in ids] == list(range(18))
    # One after another would take 5.4 s.
    assert 0.85 < time.monotonic() - began < 4


CURRENT = (
    "import sys\ndef now():\n  c = sys.modules['wherry_runner.context']\n  return c.input_id.get(), c.call_id.get()\n"
)


def test_b38_current_ids_in_threads(agent: ScriptedAgent) -> None:
    agent.load(CURRENT + "import time\ndef f(x):\n  a = now(); time.sleep(0.1); return a, now()", concurrency=4)

    for input_id in agent.give(*((i,) for i in range(8))):
        assert agent.value(input_id) == ((input_id, "fc-1"), (input_id, "fc-1"))


def test_b38_current_ids_in_tasks(agent: ScriptedAgent) -> None:
    agent.load(
        CURRENT
        + "import asyncio\nasync def g():\n  await asyncio.sleep(0.05)\n  return now()\n"
        + "async def f(x):\n  return await asyncio.gather(g(), asyncio.to_thread(now))",
        concurrency=4,
        is_async=True,
    )
    for input_id in agent.give(*((i,) for i in range(8))):
        assert agent.value(input_id) == [(input_id, "fc-1")] * 2


def test_b38_current_ids_in_a_thread_of_a_lone_input(agent: ScriptedAgent) -> None:
    agent.load(
        CURRENT
        + "import threading\ndef f():\n  got = []\n  t = threading.Thread(target=lambda: got.append(now()))\n"
        + "  t.start(); t.join(); return got"
    )
    (input_id,) = agent.give(())
    assert agent.value(input_id) == [(input_id, "fc-1")]


def test_a_finished_output_does_not_wait_behind_a_slow_input(agent: ScriptedAgent) -> None:
    agent.load("import time\ndef f(s): time.sleep(s); return s")
    ids = agent.give((0,), (0,), (0,), (10,))

    for input_id in ids[:3]:
        agent.value(input_id)
    assert ids[3] not in agent.answered()


def test_recall_returns_what_has_not_started(agent: ScriptedAgent) -> None:
    agent.load("import time\ndef f(s): time.sleep(s); return s")
    ids = agent.give((0.5,), (0,), (0,))
    agent.quiet_for(0.1)
    agent.send({"t": "recall"})

    assert agent.frame("returned")[0]["inputs"] == ids[1:]
    assert agent.value(ids[0]) == 0.5
    agent.quiet_for(0.1)
    assert agent.answered() == {ids[0]}


def test_recall_while_a_loop_is_blocked(agent: ScriptedAgent) -> None:
    agent.load("import time\nasync def f(s): time.sleep(s); return s", is_async=True)
    ids = agent.give((2.0,), (0,))
    agent.quiet_for(0.1)
    agent.send({"t": "recall"})

    assert agent.frame("returned")[0]["inputs"] == ids[1:]
    assert agent.answered() == set()
    assert agent.value(ids[0]) == 2.0


def test_ping_is_answered_while_user_code_runs(agent: ScriptedAgent) -> None:
    agent.load("import time\ndef f():\n  end = time.time() + 1\n  while time.time() < end: pass")
    (input_id,) = agent.give(())
    agent.quiet_for(0.05)
    agent.send({"t": "ping"})
    agent.frame("pong")

    assert input_id not in agent.answered()


def test_b39_drain_finishes_what_is_held(agent: ScriptedAgent) -> None:
    agent.load("import time, atexit\natexit.register(lambda: print('hook'))\ndef f(s): time.sleep(s); return s")
    ids = agent.give((0.2,), (0.1,))
    agent.quiet_for(0.05)
    agent.send({"t": "drain"})

    assert agent.frame("bye")[0]["code"] == 0
    assert agent.answered() == set(ids)
    assert (None, "hook") in agent.lines()
    assert agent.exit_code() == 0


def test_b39_signals_mean_drain(agent: ScriptedAgent) -> None:
    for options in ({}, {"concurrency": 3}):
        agent.load("import time\ndef f(s): time.sleep(s); return s", **options)
        (input_id,) = agent.give((0.3,))
        agent.quiet_for(0.1)
        agent.signal(signal.SIGTERM)
        agent.frame("bye")
        assert input_id in agent.answered()
        assert agent.exit_code() == 0
        agent.seen.clear()


def test_b39_an_idle_runner_ends_on_a_signal(agent: ScriptedAgent) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        agent.begin()
        agent.signal(number)
        assert agent.exit_code() == 0
    agent.load("async def f(): pass", is_async=True)
    agent.signal(signal.SIGINT)
    assert agent.exit_code() == 0


def test_reconnects_and_sends_again(agent: ScriptedAgent) -> None:
    agent.load("import time\ndef f(s): time.sleep(s); return s")
    ids = agent.give((0.4,), (0.01,), (1.0,))
    agent.quiet_for(0.1)
    agent.hang_up(listen=False)
    time.sleep(0.6)  # two answers are made while nobody listens
    agent.listen()
    agent.seen.clear()
    hello = agent.accept()

    assert hello["loaded"] is True
    assert set(hello["running"]) == set(ids)
    assert [agent.value(i) for i in ids] == [0.4, 0.01, 1.0]
    assert len(agent.output_rows()) == 3


def test_b61_an_answer_is_kept_until_the_agent_has_it_on_disk(agent: ScriptedAgent) -> None:
    agent.load("def f(x): return 1 / x")
    ids = agent.give((1,), (0,), (2,), keep=True)
    forgets = agent.give((4,))
    agent.value(forgets[0])
    for _ in range(2):
        agent.hang_up()
        agent.seen.clear()
        hello = agent.accept()
        # The answers were read, and may be lost all the same: what is not kept runs again elsewhere, these need not.
        assert set(hello["running"]) == set(ids)
        assert (agent.value(ids[0]), agent.value(ids[2])) == (1.0, 0.5)
        assert agent.failure(ids[1])["type"] == "builtins.ZeroDivisionError"
        assert len(agent.output_rows()) == 2

    agent.send({"t": "kept", "inputs": ids[:2]})
    agent.hang_up()
    agent.seen.clear()
    assert agent.accept()["running"] == [ids[2]]
    assert agent.value(ids[2]) == 0.5


def test_reconnects_when_idle_and_when_asynchronous(agent: ScriptedAgent) -> None:
    agent.load("import asyncio\nasync def f(s): await asyncio.sleep(s); return s", is_async=True, concurrency=5)
    for seconds in (0, 0.5):
        ids = agent.give((seconds,), (seconds,))
        agent.quiet_for(0.1)
        agent.hang_up(listen=False)
        agent.listen()
        agent.accept()
        assert [agent.value(i) for i in ids] == [seconds] * 2
    # What is offered again while it is held runs once.
    ids = agent.give((0.2,), input_ids=["in-same"])
    agent.give((0.2,), input_ids=["in-same"])
    agent.value("in-same")
    agent.quiet_for(0.4)
    assert [row[0] for row in agent.output_rows()].count("in-same") == 1


def test_a_forked_child_leaves_the_socket_alone(agent: ScriptedAgent) -> None:
    agent.load(
        """
        import os, multiprocessing, sys
        def child(): print("from the child")
        def f(how):
            if how == "fork":
                if os.fork() == 0:
                    return "never seen"
                os.wait()
                return "parent"
            p = multiprocessing.get_context("fork").Process(target=child)
            p.start(); p.join()
            return p.exitcode
        """
    )
    ids = agent.give(("fork",), ("multiprocessing",))

    assert [agent.value(i) for i in ids] == ["parent", 0]
    assert (ids[1], "from the child") in agent.lines()


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("is_generator", [False, True])
def test_context_variables_of_one_input_are_not_the_nexts(
    agent: ScriptedAgent, concurrency: int, is_generator: bool
) -> None:
    agent.load(
        """
        from contextvars import ContextVar
        seen = ContextVar("seen", default="unset")
        def plain(x):
            before = seen.get()
            seen.set(x)
            return before
        def values(x):
            yield seen.get()
            seen.set(x)
            yield seen.get()
        """,
        "values" if is_generator else "plain",
        is_generator=is_generator,
        concurrency=concurrency,
    )
    for number in range(3):
        (input_id,) = agent.give((number,))
        value = agent.value(input_id)
        assert (agent.yields(input_id) if is_generator else value) == (["unset", number] if is_generator else "unset")
