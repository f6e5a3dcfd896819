"""Inputs that end otherwise: failures, cancellation, timeouts, load failures."""

import os
import pickle
import time
import traceback
from pathlib import Path

import cloudpickle
import pytest
import tblib

from tests.integration.runner.scripted_agent import ScriptedAgent
from wherry._connection.rebuilt import Rebuilt

MARKED = "import time, pathlib\nMARK = pathlib.Path(%r)\n"


def _with_sdk(agent: ScriptedAgent) -> None:
    """Put what the SDK folder of an image has into the test's."""
    for module in (tblib, cloudpickle):
        folder = Path(str(module.__file__)).parent
        os.symlink(folder, agent.directory / "sdk" / folder.name)


def test_b21_exception_keeps_type_args_cause_and_notes(agent: ScriptedAgent) -> None:
    agent.load(
        """
        def f():
            try:
                {}["k"]
            except KeyError as e:
                error = ValueError("bad", 7)
                error.__notes__ = ["look here"]
                raise error from e
        """
    )
    (input_id,) = agent.give(())
    error = agent.exception(input_id)

    assert type(error) is ValueError
    assert error.args == ("bad", 7)
    assert type(error.__cause__) is KeyError
    assert error.__notes__ == ["look here"]
    # The container has no tblib, and needs none.
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == ["f"]
    assert [frame.name for frame in traceback.extract_tb(error.__cause__.__traceback__)] == ["f"]
    assert agent.failure(input_id)["type"] == "builtins.ValueError"


def test_b22_traceback_has_user_frames_only(agent: ScriptedAgent) -> None:
    _with_sdk(agent)
    agent.load("def g(): raise ValueError('no')\ndef f(): g()")
    (input_id,) = agent.give(())
    error = agent.exception(input_id)
    text = agent.failure(input_id)["traceback"]

    assert "job.py" in text
    assert "wherry_runner" not in text
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == ["f", "g"]


def test_b24_unpicklable_exceptions_are_text_and_huge_ones_are_cut(agent: ScriptedAgent) -> None:
    agent.load(
        """
        import threading
        class Locked(Exception):
            def __init__(self): self.lock = threading.Lock()
        class NoText(Exception):
            def __str__(self): raise RuntimeError
        class Needs(Exception):
            def __init__(self, a, b): super().__init__(f"{a}-{b}")
        def f(n):
            if n == 0: raise Locked()
            if n == 1: raise ValueError("\\x01" * 3_000_000)
            if n == 2: raise NoText()
            raise Needs(1, 2)
        """
    )
    ids = agent.give(*((n,) for n in range(4)))
    locked, huge, no_text, needs = (agent.failure(i) for i in ids)

    assert locked["type"] == "job.Locked"
    assert len(huge["message"]) <= 64 << 10
    assert "can't be shown" in no_text["message"]
    assert needs["message"] == "1-2"
    for header, parts in agent.seen:
        if header["t"] == "failure" and header["input"] == ids[0]:
            assert parts == [b""]
    # Cut, it is still what an `except ValueError` waits for.
    assert type(agent.exception(ids[1])) is ValueError


def test_an_exception_whose_init_does_not_fit_its_args_still_travels(agent: ScriptedAgent, tmp_path: Path) -> None:
    agent.load("class Needs(Exception):\n  def __init__(self, a, b): super().__init__(a)\ndef f(): raise Needs(1, 2)")
    (input_id,) = agent.give(())
    agent.failure(input_id)
    part = next(p for h, p in agent.seen if h["t"] == "failure")[0]
    assert b"Needs" in part


def test_b26_system_exit_is_a_failure_and_the_runner_lives(agent: ScriptedAgent) -> None:
    for options, source in (
        ({}, "import sys\ndef f(x): sys.exit(x) if x else None"),
        ({"concurrency": 3}, "import sys\ndef f(x): sys.exit(x) if x else None"),
        ({"is_async": True}, "import sys\nasync def f(x): sys.exit(x) if x else None"),
    ):
        agent.load(source, **options)
        ids = agent.give((3,), (0,))
        assert agent.failure(ids[0])["type"] == "builtins.SystemExit"
        assert agent.value(ids[1]) is None
        agent.end()
        agent.listen()
        agent.seen.clear()


def test_keyboard_interrupt_is_a_failure(agent: ScriptedAgent) -> None:
    agent.load("def f(x):\n  if x: raise KeyboardInterrupt")
    ids = agent.give((1,), (0,))
    assert agent.failure(ids[0])["type"] == "builtins.KeyboardInterrupt"
    assert agent.value(ids[1]) is None


def test_unpicklable_results_and_arguments(agent: ScriptedAgent) -> None:
    agent.load("import threading\ndef f(x=0): return threading.Lock() if x == 0 else x")
    (lock,) = agent.give(())
    agent.send({"t": "inputs", "rows": [["in-bad", "fc-1", 1, None]]}, [b"\x80\x04cno_such_module\nX\n."])

    assert agent.failure(lock)["kind"] == "serialization"
    assert "returned a lock" in agent.failure(lock)["message"]
    assert agent.failure("in-bad")["kind"] == "serialization"
    assert "no_such_module" in agent.failure("in-bad")["message"]
    assert agent.value(agent.give((5,))[0]) == 5


def test_b44_what_pickle_refuses_goes_through_cloudpickle(agent: ScriptedAgent) -> None:
    _with_sdk(agent)
    agent.load("def f(n): return lambda x: x + n")
    (input_id,) = agent.give((2,))
    agent.until(lambda: any(header["t"] == "outputs" for header, _ in agent.seen))
    # Not loaded here: byte code of another Python than ours would crash this one.
    payload = next(parts[0] for header, parts in agent.seen if header["t"] == "outputs")
    assert b"cloudpickle" in payload
    assert input_id not in agent.failures()


# A statement stands before the loop: where a loop is the first thing in a `try`, CPython 3.11 and 3.12 themselves
# lose the `try` for an exception from a signal handler (seen with 3.11.7 and 3.12.1, without any runner).
@pytest.mark.parametrize("body", ["time.sleep(60)", "\n    y = 0\n    while True: y += 1"])
def test_b40_cancel_interrupts_and_finally_runs(agent: ScriptedAgent, body: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    agent.load(MARKED % str(mark) + f"def f(x):\n  if not x: return 1\n  try: {body}\n  finally: MARK.touch()")
    first, second, third = agent.give((1,), (1,), (0,))
    agent.quiet_for(0.2)
    began = time.monotonic()
    agent.send({"t": "cancel", "inputs": [first, second]})

    assert agent.failure(first)["kind"] == "cancelled"
    assert agent.failure(second)["kind"] == "cancelled"
    assert agent.value(third) == 1
    assert time.monotonic() - began < 10
    assert mark.exists()


def test_b40_cancel_of_one_task_leaves_the_others(agent: ScriptedAgent, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    agent.load(
        MARKED % str(mark)
        + "import asyncio\nasync def f(s):\n  try: await asyncio.sleep(s)\n"
        + "  finally:\n    if s > 9: MARK.touch()\n  return s",
        is_async=True,
        concurrency=3,
    )
    first, second, third = agent.give((60,), (0.5,), (0.6,))
    agent.quiet_for(0.1)
    agent.send({"t": "cancel", "inputs": [first]})

    assert agent.failure(first)["kind"] == "cancelled"
    assert mark.exists()
    assert [agent.value(second), agent.value(third)] == [0.5, 0.6]


def test_b40_a_cancelled_thread_is_answered_and_replaced(agent: ScriptedAgent) -> None:
    agent.load("import time\ndef f(s): time.sleep(s); return s", concurrency=2)
    first, second, third, fourth = agent.give((5,), (5,), (0,), (0,))
    agent.quiet_for(0.1)
    agent.send({"t": "cancel", "inputs": [first, second]})

    assert agent.failure(first)["kind"] == agent.failure(second)["kind"] == "cancelled"
    assert [agent.value(third), agent.value(fourth)] == [0, 0]


@pytest.mark.parametrize("options", [{}, {"concurrency": 3}, {"is_async": True}])
def test_cancel_never_hits_outside_user_code(agent: ScriptedAgent, options: dict[str, object]) -> None:
    head = "async def" if options.get("is_async") else "def"
    agent.load(f"{head} f(x):\n  print(x)\n  return x", **options)
    every: list[str] = []
    for _ in range(60):
        ids = agent.give(*((i,) for i in range(20)))
        agent.send({"t": "cancel", "inputs": ids[::2]})
        every += ids
    agent.until(lambda: agent.answered() >= set(every))

    rows = [row[0] for row in agent.output_rows()] + [h["input"] for h, _ in agent.seen if h["t"] == "failure"]
    assert sorted(rows) == sorted(every)  # each once
    assert {failure["kind"] for failure in agent.failures().values()} <= {"cancelled"}
    assert agent.value(agent.give((7,))[0]) == 7


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("import time\ndef f(s): time.sleep(s); return s", {}),
        ("import time\ndef f(s): time.sleep(s); return s", {"concurrency": 2}),
        ("import asyncio\nasync def f(s): await asyncio.sleep(s); return s", {"is_async": True}),
        ("import time\ndef f(s):\n  yield 1\n  time.sleep(s)", {"is_generator": True}),
    ],
)
def test_b28_timeout(agent: ScriptedAgent, source: str, options: dict[str, object]) -> None:
    agent.load(source, timeout_s=0.5, **options)
    began = time.monotonic()
    slow, quick = agent.give((30,), (0,))

    assert agent.failure(slow)["kind"] == "timeout"
    assert "0.5 s" in agent.failure(slow)["message"]
    assert 0.4 < time.monotonic() - began < 10
    agent.value(quick)


def test_timeout_that_user_code_swallows_is_still_one(agent: ScriptedAgent) -> None:
    agent.load("import time\ndef f():\n  try: time.sleep(30)\n  except BaseException: return 'mine'", timeout_s=0.3)
    assert agent.failure(agent.give(())[0])["kind"] == "timeout"


def _load_failure(agent: ScriptedAgent, source: str, **options: object) -> dict[str, str]:
    agent.load(source, wait=False, **options)
    header, parts = agent.frame("load_failed")
    assert agent.exit_code() == 1
    if parts[0]:
        assert Rebuilt(pickle.loads(parts[0]), str).error is not None
    assert "wherry_runner" not in header["traceback"]
    return header


def test_b27_missing_package_names_what_adds_it(agent: ScriptedAgent) -> None:
    failure = _load_failure(agent, "import yaml_no_such\ndef f(): pass")
    assert failure["type"] == "builtins.ModuleNotFoundError"
    assert 'Image.pip_install("yaml_no_such")' in failure["message"]
    assert 'add_local_python_source("yaml_no_such")' in failure["message"]


def test_b27_known_package_goes_by_its_name_in_the_index(agent: ScriptedAgent) -> None:
    assert 'pip_install("opencv-python-headless")' in _load_failure(agent, "import cv2\ndef f(): pass")["message"]


def test_b25_relative_import_carries_a_hint(agent: ScriptedAgent) -> None:
    assert "wherry run -m package.module" in _load_failure(agent, "from . import other\ndef f(): pass")["message"]


def test_b27_error_at_import(agent: ScriptedAgent) -> None:
    failure = _load_failure(agent, "print('before', end='')\nraise ValueError('at import')")
    assert failure["message"] == "at import"
    assert "job.py" in failure["traceback"]
    assert (None, "before") in agent.lines()


def test_b27_missing_function_exit_and_syntax(agent: ScriptedAgent) -> None:
    for source, expected in (
        ("x = 1", "job has no f"),
        ("import sys; sys.exit(3)", "3"),
        ("def f(:", "invalid syntax"),
    ):
        assert expected in _load_failure(agent, source)["message"]
        agent.seen.clear()
        # Python's byte code of the file before may have its second and its size.
        for old in (agent.directory / "source").glob("__pycache__/*"):
            old.unlink()


@pytest.mark.parametrize("name", ["site", "sys"])
def test_b27_a_file_named_like_a_module_of_pythons_own_is_told_so(agent: ScriptedAgent, name: str) -> None:
    (agent.directory / "source" / f"{name}.py").write_text("def f(): pass\n")
    agent.begin()
    agent.send_load(module=name)
    frame, _ = agent.frame("load_failed")
    assert frame["message"].startswith(f"{name}.py has the name of a module that Python itself has loaded before (")
    assert frame["message"].endswith("): rename the file")


def test_b44_a_function_serialized_by_another_python_is_told_so(agent: ScriptedAgent) -> None:
    agent.begin()
    agent.send_load(serialized=pickle.dumps(len), python="2.7")
    frame, _ = agent.frame("load_failed")
    assert frame["type"] == "wherry.exception.ExecutionError"
    assert frame["message"].startswith("f was sent as byte code of Python 2.7, and its container has Python 3.")


LIFESPAN = """
from contextlib import asynccontextmanager
import asyncio

@asynccontextmanager
async def lifespan():
    yield
    {ends}

async def serve(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    async with lifespan():
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
    await send({{"type": "lifespan.shutdown.complete"}})

def f(): return serve
"""


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ("await asyncio.sleep(0.01); print('saved')", ["saved"]),
        ("raise LookupError('not saved')", ["the app failed as it ended:", "LookupError: not saved"]),
    ],
)
def test_a_lifespan_ends_in_order(agent: ScriptedAgent, ends: str, said: list[str]) -> None:
    (agent.directory / "source" / "job.py").write_text(LIFESPAN.format(ends=ends))
    agent.begin()
    function = {
        "name": "f", "function_id": "fu-1", "app_id": "ap-1", "module": "job", "qualname": "f",
        "web": {"": {"kind": "asgi", "method": "", "docs": False, "port": 0, "port_timeout_s": 0}},
    }  # fmt: skip
    agent.send({"t": "load", "function": function, "concurrency": 1, "timeout_s": 60, "env": {}}, [b""])
    agent.frame("ready")
    agent.send({"t": "drain"})
    agent.frame("bye")
    while agent.read():
        pass
    assert agent.exit_code() == 0
    lines = [text for _, text in agent.lines()]
    assert [line for line in lines if line in said] == said
