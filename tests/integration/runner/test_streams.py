"""Generators, output and big values."""

import pickle
import time
from pathlib import Path

import pytest

from tests.integration.runner.scripted_agent import ScriptedAgent
from tests.waiting import wait_until
from wherry_service.node.value_receiver import NoRoom, ValueDesk

PLAIN = ("def f(n):\n  try:\n    for i in range(n): yield i\n  finally: MARK.touch()", {"is_generator": True})
THREADED = (PLAIN[0], {"is_generator": True, "concurrency": 2})
ASYNC = ("async " + PLAIN[0], {"is_generator": True, "is_async": True})
EVERY = pytest.mark.parametrize(("source", "options"), [PLAIN, THREADED, ASYNC], ids=["plain", "threads", "tasks"])


def _load(agent: ScriptedAgent, source: str, options: dict[str, object], mark: Path) -> None:
    agent.load(f"import pathlib\nMARK = pathlib.Path({str(mark)!r})\n" + source, **options)


@EVERY
def test_b16_values_in_order_then_the_end(
    agent: ScriptedAgent, source: str, options: dict[str, object], tmp_path: Path
) -> None:
    _load(agent, source, options, tmp_path / "mark")
    (input_id,) = agent.give((100,))
    agent.value(input_id)

    assert agent.yields(input_id) == list(range(100))
    assert agent.output_rows()[0][4] == 100


@EVERY
def test_a_generator_waits_for_its_caller(
    agent: ScriptedAgent, source: str, options: dict[str, object], tmp_path: Path
) -> None:
    _load(agent, source, options, tmp_path / "mark")
    (input_id,) = agent.give((2000,))
    agent.until(lambda: len(agent.yields(input_id)) == 512)
    agent.quiet_for(0.3)
    assert len(agent.yields(input_id)) == 512

    agent.send({"t": "taken", "rows": [[input_id, 100]]})
    agent.until(lambda: len(agent.yields(input_id)) == 612)
    agent.send({"t": "taken", "rows": [[input_id, 2000]]})
    while input_id not in agent.answered():
        agent.read()
        agent.send({"t": "taken", "rows": [[input_id, len(agent.yields(input_id))]]})
    assert agent.yields(input_id) == list(range(2000))


@EVERY
def test_b16_closing_early_runs_finally(
    agent: ScriptedAgent, source: str, options: dict[str, object], tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    _load(agent, source, options, mark)
    (input_id,) = agent.give((100000,))
    agent.until(lambda: len(agent.yields(input_id)) == 512)
    agent.send({"t": "cancel", "inputs": [input_id]})

    assert agent.failure(input_id)["kind"] == "cancelled"
    agent.until(mark.exists)
    (again,) = agent.give((3,))
    agent.value(again)
    assert agent.yields(again) == [0, 1, 2]


def test_window_counts_bytes(agent: ScriptedAgent) -> None:
    agent.load("def f():\n  for i in range(100): yield b'x' * 1_000_000", is_generator=True)
    (input_id,) = agent.give(())
    agent.until(lambda: len(agent.yields(input_id)) == 9)
    agent.quiet_for(0.2)
    assert len(agent.yields(input_id)) == 9


def test_b17_n_values_then_the_exception(agent: ScriptedAgent) -> None:
    agent.load("def f(n):\n  yield from range(n)\n  raise ValueError(n)", is_generator=True)
    (input_id,) = agent.give((3,))

    assert agent.failure(input_id)["num_yields"] == 3
    assert agent.yields(input_id) == [0, 1, 2]


@EVERY
def test_each_value_and_the_end_say_of_which_run_they_are(
    agent: ScriptedAgent, source: str, options: dict[str, object], tmp_path: Path
) -> None:
    _load(agent, source, options, tmp_path / "mark")
    ended, failed, cancelled = agent.give((2,), ("no number",), (100000,), runs=[7, 8, 9])
    agent.value(ended)
    agent.failure(failed)
    agent.until(lambda: len(agent.yields(cancelled)) == 512)
    agent.send({"t": "cancel", "inputs": [cancelled]})

    assert agent.failure(cancelled)["run"] == 9
    assert agent.failure(failed)["run"] == 8
    assert [row[5] for row in agent.output_rows()] == [7]
    rows = [row for header, _ in agent.seen if header["t"] == "yields" for row in header["rows"]]
    assert {(row[0], row[5]) for row in rows} == {(ended, 7), (cancelled, 9)}


def test_a_slow_generators_value_comes_at_once(agent: ScriptedAgent) -> None:
    agent.load("import time\ndef f():\n  yield 1\n  yield 2\n  time.sleep(10)", is_generator=True)
    (input_id,) = agent.give(())
    agent.until(lambda: agent.yields(input_id) == [1, 2])
    assert agent.answered() == set()


def test_b08_lines_come_before_the_output(agent: ScriptedAgent) -> None:
    agent.load(
        """
        import os, subprocess, sys
        def f():
            print("one"); print("two", file=sys.stderr); os.write(1, b"three\\n")
            subprocess.run(["sh", "-c", "echo four; echo five >&2; printf six"])
            print("seven", end="")
            sys.stdout.buffer.write("é\\n".encode()); sys.stdout.flush()
            print("eight", end="")
            return sys.stdout.isatty(), sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.encoding
        """
    )
    (input_id,) = agent.give(())
    assert agent.value(input_id) == (False, 1, 2, "utf-8")
    kinds = [header["t"] for header, _ in agent.seen]
    assert "log" not in kinds[kinds.index("outputs") :]
    assert sorted(agent.lines()) == sorted(
        (input_id, line) for line in ("one", "two", "three", "four", "five", "six", "sevené", "eight")
    )


def test_lines_belong_to_their_input(agent: ScriptedAgent) -> None:
    agent.load("import time\ndef f(x):\n  for i in range(5): print(x, end=''); time.sleep(.01); print()", concurrency=4)
    ids = agent.give(*((n,) for n in range(4)))
    for input_id in ids:
        agent.value(input_id)
    for n, input_id in enumerate(ids):
        assert [line for owner, line in agent.lines() if owner == input_id] == [str(n)] * 5


@pytest.mark.parametrize("how", ["print('a line'); time.sleep(s)", "print('x'); print('a line'); time.sleep(s)"])
def test_a_line_comes_promptly(agent: ScriptedAgent, how: str) -> None:
    agent.load(f"import time\ndef f(s): {how}")
    agent.value(agent.give((0,))[0])
    agent.seen.clear()
    (input_id,) = agent.give((10,))
    agent.until(lambda: (input_id, "a line") in agent.lines())
    assert agent.answered() == set()


@pytest.mark.parametrize("how", ["print(line)", "os.write(1, (line + '\\n').encode())"])
def test_ten_mib_of_lines(agent: ScriptedAgent, how: str) -> None:
    agent.load(f"import os\nline = 'x' * 99\ndef f():\n  for i in range(104858): {how}")
    (input_id,) = agent.give(())
    began = time.monotonic()
    agent.value(input_id)
    assert len(agent.lines()) == 104858
    assert set(agent.lines()) == {(input_id, "x" * 99)}
    assert time.monotonic() - began < 10


def test_lines_wait_in_bounded_memory_for_an_agent_that_does_not_read(agent: ScriptedAgent) -> None:
    agent.load("def f():\n  for i in range(200_000): print('x' * 499)")
    assert agent.process is not None
    status = Path(f"/proc/{agent.process.pid}/status")

    def resident() -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))

    before = resident()
    (input_id,) = agent.give(())
    time.sleep(1.5)  # 100 MB would have come in this time
    assert resident() - before < 8 << 10
    agent.value(input_id)
    assert len(agent.lines()) == 200_000


def test_long_lines_are_split(agent: ScriptedAgent) -> None:
    agent.load("def f(): print('é' * 100_000); print('y' * 70_000, end='')")
    (input_id,) = agent.give(())
    agent.value(input_id)
    lines = [line for _, line in agent.lines()]
    assert all(len(line.encode()) <= 64 << 10 for line in lines)
    assert "".join(lines) == "é" * 100_000 + "y" * 70_000


@pytest.mark.parametrize("size", [(1 << 20) - 100, (1 << 20) + 1, 100 << 20])
def test_b19_big_values(agent: ScriptedAgent, size: int) -> None:
    agent.load("def f(x): return x")
    name = "bl-1"
    with (agent.directory / "in" / name).open("wb") as file:
        pickle.dump(((b"z" * size,), {}), file, 5)
    agent.send({"t": "inputs", "rows": [["in-1", "fc-1", 1, name]]}, [b""])
    assert agent.value("in-1") == b"z" * size

    row = agent.output_rows()[0]
    if size > 1 << 20:
        assert (agent.directory / "values" / row[2]).stat().st_size == row[3]
    else:
        assert row[2] is None


def test_b19_a_failed_pickle_leaves_no_file(agent: ScriptedAgent) -> None:
    agent.load("import threading\ndef f(): return [b'x' * 3_000_000, threading.Lock()]")
    assert agent.failure(agent.give(())[0])["kind"] == "serialization"
    wait_until(lambda: list((agent.directory / "values").iterdir()) == [], "what was sent is gone")


def test_a_value_is_sent_anew_to_an_agent_that_was_away(agent: ScriptedAgent) -> None:
    agent.load("import os\ndef f(): return os.urandom(1) * (3 << 20)")
    agent.stop_receiving()
    (input_id,) = agent.give(())
    # Long enough for it to have found nobody.
    agent.quiet_for(0.5)
    assert agent.answered() == set()
    agent.receive_values()
    assert len(agent.value(input_id)) == 3 << 20


def test_a_value_that_the_agent_refuses_fails_its_input_and_says_why(agent: ScriptedAgent) -> None:
    agent.stop_receiving()
    agent.receive_values(max_waiting_bytes=4 << 20)
    agent.load("def f(n): return b'x' * n")
    kept, refused = agent.give((3 << 20,), (3 << 20,))
    failure = agent.failure(refused)
    assert failure["kind"] == "serialization"
    assert failure["message"] == (
        "the value that the function returned was not taken: "
        "values of this container that nobody has taken have over 4194304 bytes"
    )
    assert not failure["traceback"]
    assert len(agent.value(kept)) == 3 << 20


def test_a_value_waits_for_room_on_the_agents_disk(agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def look(self: ValueDesk, file: int) -> None:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise NoRoom("the disk of the service is full")

    monkeypatch.setattr(ValueDesk, "look", look)
    agent.load("def f(): return b'x' * (3 << 20)")
    assert len(agent.value(agent.give(())[0])) == 3 << 20
    assert asked == 3


def test_a_value_that_the_agents_disk_never_takes_fails_its_input(
    agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(self: ValueDesk, file: int) -> None:
        raise NoRoom("the disk of the service is full")

    monkeypatch.setattr(ValueDesk, "look", look)
    source = "import wherry_runner.payload as p\np.NO_ROOM_S = 0.3\ndef f():\n    yield 1\n    yield b'x' * (3 << 20)"
    agent.load(source, is_generator=True)
    failure = agent.failure(agent.give(())[0])
    assert failure["message"] == "a value that the generator yielded was not taken: the disk of the service is full"
    assert failure["num_yields"] == 1
