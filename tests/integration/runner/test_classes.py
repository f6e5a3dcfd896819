"""Classes in the runner: the real SDK's, from the load frame to the exit hooks."""

import os
import pickle
import signal
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

import wherry
import wherry_proto
from tests.integration.runner.scripted_agent import ScriptedAgent
from wherry._connection.rebuilt import Rebuilt

HEAD = """
    import asyncio, os, sys, threading, time
    import wherry
    from wherry import current_input_id
    app = wherry.App("x")
    # @app.cls() of a class that the agent says more of.
    def made(cls): return app.cls()(cls)
"""


def load(agent: ScriptedAgent, source: str, methods: str, parameters: Any = None, **options: Any) -> None:
    """Load class C of `source`; `methods` is "plain async! generator* asyncgenerator*!"."""
    for module in (wherry, wherry_proto):
        folder = Path(str(module.__file__)).parent
        os.symlink(folder, agent.directory / "sdk" / folder.name)
    code = textwrap.dedent(HEAD) + textwrap.dedent(source)
    (agent.directory / "source" / "job.py").write_text(code)
    wait = options.pop("wait", True)
    agent.begin()
    function = {
        "name": "C",
        "function_id": "fu-1",
        "app_id": "ap-1",
        "module": "job",
        "qualname": "C",
        "methods": [[name.rstrip("*!"), "*" in name, "!" in name] for name in methods.split()],
    }
    header = {"t": "load", "function": function, "concurrency": 1, "timeout_s": 60, "startup_timeout_s": 60, "env": {}}
    agent.send({**header, **options}, [b"", b"" if parameters is None else pickle.dumps(parameters)])
    if wait:
        agent.frame("ready")


def give(agent: ScriptedAgent, method: str, *args: Any, input_id: str = "") -> str:
    input_id = input_id or f"in-{time.monotonic_ns()}"
    agent.send({"t": "inputs", "rows": [[input_id, "fc-1", 1, None, method]]}, [pickle.dumps((args, {}), 5)])
    return input_id


def call(agent: ScriptedAgent, method: str, *args: Any) -> Any:
    return agent.value(give(agent, method, *args))


def leave(agent: ScriptedAgent) -> int:
    """Drain, and return the exit code once all it said has been read."""
    agent.send({"t": "drain"})
    agent.frame("bye")
    while agent.read():
        pass
    return agent.exit_code()


def texts(agent: ScriptedAgent) -> list[str]:
    return [text for _, text in agent.lines()]


HOOKS = """
class Base:
    @wherry.enter()
    def first(self): print("enter base")
    @wherry.exit()
    def last(self): print("exit base")

@made
class C(Base):
    x: int = wherry.parameter(default=1)
    @wherry.enter()
    {kind} second(self):
        print("enter", self.x)
        self.calls = 0
    @wherry.exit()
    {kind} {exit}
    @wherry.method()
    def add(self, y):
        self.calls += 1
        return self.x + y, self.calls, threading.get_ident() == threading.main_thread().ident
    @wherry.method()
    def count(self, n): yield from range(n)
    {more}
"""
LEAVE = 'leave(self): print("exit", self.calls)'
ASYNC = """
    @wherry.method()
    async def later(self, y):
        await asyncio.sleep(0)
        return asyncio.get_running_loop() is self.loop
    @wherry.enter()
    async def note(self): self.loop = asyncio.get_running_loop()
    @wherry.method()
    async def stream(self, n):
        for i in range(n): yield i
"""


def hooks(kind: str = "def", exit: str = LEAVE, more: str = "") -> str:
    return HOOKS.format(kind=kind, exit=exit, more=more)


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_b36_hooks_run_once_in_order_and_the_end_is_orderly(agent: ScriptedAgent, kind: str, concurrency: int) -> None:
    load(agent, hooks(kind), "add count*", ((), {"x": 5}), concurrency=concurrency)
    assert call(agent, "add", 1)[:2] == (6, 1)
    assert call(agent, "add", 2)[:2] == (7, 2)
    assert leave(agent) == 0
    assert texts(agent) == ["enter base", "enter 5", "exit 2", "exit base"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_b36_exit_hooks_run_on_signals(agent: ScriptedAgent, number: signal.Signals) -> None:
    load(agent, hooks(), "add count*")
    assert call(agent, "add", 1) == (2, 1, True)
    agent.signal(number)
    agent.frame("bye")
    while agent.read():
        pass
    assert agent.exit_code() == 0
    assert texts(agent)[-2:] == ["exit 1", "exit base"]


def test_b39_a_container_that_ends_takes_no_new_input(agent: ScriptedAgent) -> None:
    source = hooks(
        exit="leave(self): time.sleep(0.3); print('exit', self.calls)",
        more="""
    @wherry.method()
    def wait(self, path):
        print("waiting")
        while not os.path.exists(path): time.sleep(0.01)
        return "done"
    """,
    )
    load(agent, source, "add count* wait")
    going_on = agent.directory / "go"
    held = give(agent, "wait", str(going_on))
    agent.until(lambda: "waiting" in texts(agent))
    agent.signal(signal.SIGTERM)
    # Its agent does not know yet.
    refused = give(agent, "add", 1)
    assert agent.frame("returned")[0]["inputs"] == [refused]
    assert any(header["t"] == "bye" for header, _ in agent.seen), "before it gives anything back"
    going_on.touch()
    assert agent.value(held) == "done"
    late = give(agent, "add", 1)
    agent.until(lambda: any(h["t"] == "returned" and h["inputs"] == [late] for h, _ in agent.seen))
    while agent.read():
        pass
    assert agent.exit_code() == 0
    assert texts(agent)[-2:] == ["exit 0", "exit base"]


def test_an_error_in_an_exit_hook_is_printed_and_the_others_run(agent: ScriptedAgent) -> None:
    load(agent, hooks(exit="leave(self): raise SystemExit(3)"), "add count*")
    assert leave(agent) == 0
    said = texts(agent)
    assert said[-1] == "exit base"
    assert "an exit hook failed:" in said
    assert "SystemExit: 3" in said
    assert not any("wherry_runner" in line for line in said)


@pytest.mark.parametrize("exit", ["leave(self): time.sleep(60)", "leave(self): await asyncio.sleep(60)"])
def test_exit_hooks_have_a_deadline(agent: ScriptedAgent, exit: str) -> None:
    kind = "async def" if "await" in exit else "def"
    load(agent, hooks(kind, exit), "add count*", exit_timeout_s=0.3)
    began = time.monotonic()
    assert leave(agent) == 0
    assert time.monotonic() - began < 10
    assert "the exit hooks did not end within 0.3 s: the container ends without them" in texts(agent)


def test_b27_a_failing_enter_hook_is_a_failure_to_load(agent: ScriptedAgent) -> None:
    source = """
    @made
    class C:
        @wherry.enter()
        def load(self): raise LookupError("no model")
        @wherry.exit()
        def leave(self): print("never")
        @wherry.method()
        def f(self): ...
    """
    load(agent, source, "f", wait=False)
    header, (data,) = agent.frame("load_failed")
    assert (header["type"], header["message"]) == ("builtins.LookupError", "no model")
    assert "in load" in header["traceback"]
    assert "wherry" not in header["traceback"].replace("@wherry", "")
    assert str(Rebuilt(pickle.loads(data), str).error) == "no model"
    while agent.read():
        pass
    assert agent.exit_code() == 1
    assert texts(agent) == []


def test_b27_arguments_that_the_class_does_not_take_fail_to_load(agent: ScriptedAgent) -> None:
    load(agent, hooks(), "add count*", ((1, 2), {"z": 3}), wait=False)
    assert agent.frame("load_failed")[0]["type"] == "builtins.TypeError"
    assert agent.exit_code() == 1


def test_b47_methods_of_all_kinds_share_the_object_and_the_main_thread(agent: ScriptedAgent) -> None:
    load(agent, hooks(more=ASYNC), "add count* later! stream*!")
    assert call(agent, "add", 1) == (2, 1, True), "where the enter hooks ran"
    assert call(agent, "later", 1) is True, "the loop of the enter hooks"
    for method in ("count", "stream"):
        input_id = give(agent, method, 700)
        agent.until(lambda input_id=input_id: len(agent.yields(input_id)) >= 300)
        agent.take_values(**{input_id.replace("-", "_"): 700})
        agent.until(lambda input_id=input_id: input_id in agent.answered())
        assert agent.yields(input_id) == list(range(700))
    unknown = give(agent, "nothing")
    assert agent.failure(unknown)["message"] == "the class has no method 'nothing'"
    assert leave(agent) == 0


SLOW = """
@made
class C:
    @wherry.enter()
    def begin(self):
        self.inside, self.most, self.lock, self.left = 0, 0, threading.Lock(), []
    def _meet(self):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
    @wherry.method()
    def plain(self, n):
        self._meet()
        end = time.monotonic() + 10
        while self.most < n and time.monotonic() < end: time.sleep(0.005)
        return self.most, current_input_id()
    @wherry.method()
    async def task(self, n):
        self._meet()
        end = time.monotonic() + 10
        while self.most < n and time.monotonic() < end: await asyncio.sleep(0.005)
        return self.most, current_input_id()
    @wherry.method()
    def sleep(self):
        try:
            for _ in range(2000): time.sleep(0.005)
        finally:
            self.left.append("sleep")
    @wherry.method()
    def endless(self):
        try:
            while True: yield 1
        finally:
            self.left.append("endless")
    @wherry.method()
    def state(self): return self.left
"""
KINDS = "plain task! sleep endless* state"


def test_b37_b38_plain_and_async_methods_run_at_once(agent: ScriptedAgent) -> None:
    load(agent, SLOW, KINDS, concurrency=40)
    # More plain ones than asyncio's own pool has threads.
    ids = [give(agent, "task" if i % 4 == 0 else "plain", 40) for i in range(40)]
    assert [agent.value(input_id) for input_id in ids] == [(40, input_id) for input_id in ids]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_b40_plain_methods_beside_async_ones_end_when_cancelled(agent: ScriptedAgent, concurrency: int) -> None:
    load(agent, SLOW, KINDS, concurrency=concurrency)
    for method in ("sleep", "endless"):
        input_id = give(agent, method)
        if method == "endless":
            agent.until(lambda input_id=input_id: agent.yields(input_id))
        else:
            agent.quiet_for(0.1)
        agent.send({"t": "cancel", "inputs": [input_id]})
        assert agent.failure(input_id)["kind"] == "cancelled"
    if concurrency == 1:
        assert call(agent, "state") == ["sleep", "endless"], "interrupted, with what is in `finally`"
    else:
        assert "endless" in call(agent, "state")


@pytest.mark.parametrize("concurrency", [1, 3])
def test_b28_plain_methods_beside_async_ones_time_out(agent: ScriptedAgent, concurrency: int) -> None:
    load(agent, SLOW, KINDS, concurrency=concurrency, timeout_s=0.3)
    assert agent.failure(give(agent, "sleep"))["kind"] == "timeout"
    assert call(agent, "task", 0)[0] == 1


def test_what_an_enter_hook_began_with_an_async_generator_ends_in_the_exit_hook(agent: ScriptedAgent) -> None:
    source = """
        from contextlib import asynccontextmanager

        @asynccontextmanager
        async def session():
            print("opened")
            yield 5
            await asyncio.sleep(0.01)
            print("closed in order")

        @made
        class C:
            @wherry.enter()
            async def first(self):
                self.session = session()
                self.value = await self.session.__aenter__()

            @wherry.method()
            async def get(self): return self.value

            @wherry.exit()
            async def last(self): await self.session.__aexit__(None, None, None)
    """
    load(agent, source, "get!")
    assert call(agent, "get") == 5
    assert leave(agent) == 0
    assert texts(agent) == ["opened", "closed in order"]
