"""What became of calls, as the command line and the SDK tell it, of real containers."""

import json
import time
from collections.abc import Callable
from types import ModuleType

import pytest

from tests.waiting import wait_until
from wherry.cli import main as cli

Told = pytest.CaptureFixture[str]
Wherry = Callable[..., str]


@pytest.fixture
def wherry_(monkeypatch: pytest.MonkeyPatch, capsys: Told) -> Wherry:
    """Run a command in this process, whose client is connected already: return what it wrote, and check its code."""

    def run(*words: str, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["wherry", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        assert int(caught.value.code or 0) == code, err
        return out

    return run


def test_a_call_that_failed_is_found_and_shown(calls: ModuleType, wherry_: Wherry) -> None:
    began_ms = int(time.time() * 1000)
    calls.misbehave.remote("pid")
    with pytest.raises(calls.MyError):
        calls.misbehave.remote("raise", 7, "seven")
    (failed, *_) = calls.misbehave.calls(state="failed", limit=1)
    assert failed.error is not None
    assert "MyError" in failed.error
    assert failed.run_seconds is not None
    (first, *_) = json.loads(wherry_("call", "list", "--app", "acceptance", "--failed", "--json", "-n", "1"))
    assert first["input_id"] == failed.input_id
    assert began_ms <= first["queued_ms"] <= first["started_ms"] <= first["ended_ms"] <= time.time() * 1000
    shown = wherry_("call", "show", failed.input_id[:15])
    assert shown.startswith(f"{failed.input_id}: failed\nfunction acceptance/misbehave, ")
    assert f"in {failed.container_id}" in shown
    assert "MyError" in shown


def test_inputs_of_a_map_are_counted_and_told_apart(calls: ModuleType, wherry_: Wherry) -> None:
    assert list(calls.add.map(range(20), range(20))) == [2 * number for number in range(20)]
    (last, *_) = calls.add.calls(limit=1)
    assert (last.kind, last.state) == ("map", "succeeded")
    shown = wherry_("call", "show", last.function_call_id)
    assert shown.startswith(f"{last.function_call_id}: 20 inputs of acceptance/add, made by map\n20 succeeded\n")
    rows = json.loads(wherry_("call", "list", "--call", last.function_call_id, "--json", "-n", "0"))
    assert sorted(row["index"] for row in rows) == list(range(20))


def test_a_running_call_is_seen_and_cancelled(calls: ModuleType, wherry_: Wherry) -> None:
    call = calls.nap.spawn(60)
    wait_until(lambda: calls.nap.calls(state="running", limit=1), "it runs")
    assert "runs for " in wherry_("call", "show", call.object_id)
    assert wherry_("call", "cancel", call.object_id) == f"Cancelled {call.object_id}: 1 input.\n"
    assert calls.nap.calls(limit=1)[0].state == "cancelled"
    assert wherry_("call", "cancel", call.object_id) == f"{call.object_id} had ended: 1 cancelled.\n"
    assert wherry_("call", "graph", call.object_id).startswith("nap  cancelled  in-")
