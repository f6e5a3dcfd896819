"""User code closes file descriptors that it has not opened, as daemons and their libraries do."""

from typing import Any

import pytest

from tests.integration.runner.scripted_agent import ScriptedAgent

SOURCE = """
import ctypes, os, posix, subprocess, sys
class F:
    def f(self): pass
def sweep(how):
    if how == "loop":
        for fd in range(3, 5000):
            try: os.close(fd)
            except OSError: pass
    elif how == "listed":
        for fd in os.listdir("/proc/self/fd"):
            try: int(fd) > 2 and posix.close(int(fd))
            except OSError: pass
    elif how == "c":
        for fd in range(3, 1024): ctypes.CDLL(None).close(fd)
    elif how == "all":
        for fd in range(3, 5000): ctypes.CDLL(None).close(fd)
    else:
        os.closerange(3, how)
def work(how):
    sweep(how)
    with open(os.devnull) as file:
        fd = file.fileno()
        os.dup2(fd, 5)
    print("printed")
    subprocess.run(["echo", "by a child"])
    return fd
def f(how): return work(how)
async def coroutine(how): return work(how)
def generator(how):
    yield work(how)
    sweep(how)
def forked(how):
    pid = os.fork()
    if not pid:
        os.closerange(3, how)
        os._exit(sum(fd.isdigit() and int(fd) > 2 for fd in os.listdir("/proc/self/fd")))
    return os.waitpid(pid, 0)[1] >> 8
def misused():
    errors = []
    for close, args in (os.close, ("x",)), (os.close, (4_000,)), (os.close, ([],)), (os.closerange, (1,)):
        try: close(*args)
        except Exception as error: errors.append(type(error).__name__)
    return errors
"""
WAYS: list[tuple[str, dict[str, Any]]] = [
    ("f", {}),
    ("f", {"concurrency": 3}),
    ("coroutine", {"is_async": True}),
    ("generator", {"is_generator": True}),
]


@pytest.mark.parametrize("how", [256, 65536, 1 << 30, "loop", "listed"])
@pytest.mark.parametrize(("name", "options"), WAYS)
def test_the_runner_goes_on(agent: ScriptedAgent, name: str, options: dict[str, Any], how: object) -> None:
    agent.load(SOURCE, name, **options)
    # One after the other: what one sweeps is the other's as well.
    for _ in range(2):
        (input_id,) = agent.give((how,))
        agent.until(lambda input_id=input_id: input_id in agent.answered())
        assert input_id not in agent.failures()
        value = agent.yields(input_id)[0] if name == "generator" else agent.value(input_id)
        # User code has the low numbers.
        assert value < 64
    agent.until(lambda: [line for _, line in agent.lines()].count("by a child") == 2)


def test_c_code_reaches_the_low_numbers_only(agent: ScriptedAgent) -> None:
    agent.load(SOURCE)
    for (input_id,) in (agent.give(("c",)), agent.give(("c",))):
        assert agent.value(input_id) < 64


def test_a_child_may_close_all(agent: ScriptedAgent) -> None:
    agent.load(SOURCE, "forked")
    # The one that is left lists the directory.
    assert [agent.value(input_id) for input_id in agent.give((65536,), (65536,))] == [1, 1]


def test_mistakes_are_told_as_python_does(agent: ScriptedAgent) -> None:
    agent.load(SOURCE, "misused")
    assert agent.value(agent.give(())[0]) == ["TypeError", "OSError", "TypeError", "TypeError"]


@pytest.mark.parametrize(("name", "options"), WAYS)
def test_it_ends_at_once_where_all_are_closed(agent: ScriptedAgent, name: str, options: dict[str, Any]) -> None:
    agent.load(SOURCE, name, **options)
    agent.give(("all",))
    # Which the service turns into words.
    assert agent.exit_code() == 71
