"""remote, local, spawn and what comes back."""

import asyncio
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.waiting import wait_until

MIB = 1 << 20
ROOT = Path(__file__).parents[2]

IsRunning = Callable[[wherry.Function[..., object]], None]


def test_b01_remote_returns_the_value_and_the_service_forgets_it(calls: ModuleType) -> None:
    assert calls.add.remote(2, 4) == 6
    assert asyncio.run(calls.add.remote.aio(2, 4, extra=1)) == 7

    input_id, call_id = calls.ids.remote()

    assert input_id.startswith("in-")
    wait_until(lambda: not _is_known(call_id), "the service has forgotten a call that was answered")


def _is_known(call_id: str) -> bool:
    try:
        wherry.FunctionCall.from_id(call_id).get(timeout=10)
    except wherry.exception.NotFoundError:
        return False
    return True


def test_b02_local_needs_no_service(tmp_path: Path) -> None:
    code = """
import pytest, wherry
from tests.acceptance.apps import calls
assert calls.add.local(2, 4) == 6
assert list(calls.numbers.local(3)) == [0, 1, 2]
with pytest.raises(wherry.exception.ExecutionError, match=r"add .*not running"):
    calls.add.remote(2, 4)
with pytest.raises(wherry.exception.InvalidError, match=r"add\\.remote\\(.*add\\.local\\("):
    calls.add(2, 4)
"""
    state_dir = tmp_path / "state"
    environ = dict(os.environ, WHERRY_STATE_DIR=str(state_dir))
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environ, timeout=60)
    assert not state_dir.exists()


def test_b12_spawn_returns_at_once_and_get_waits_repeatably(calls: ModuleType) -> None:
    call = calls.after.spawn(1.0, "late")

    with pytest.raises(TimeoutError) as caught:
        call.get(timeout=0.01)
    assert caught.type is TimeoutError
    with pytest.raises(TimeoutError):
        call.get(timeout=0)
    assert call.get() == "late"
    assert call.get(timeout=10) == "late"
    assert asyncio.run(call.get.aio()) == "late"


def test_b13_a_call_is_known_by_its_id_in_another_process(calls: ModuleType, environment: dict[str, str]) -> None:
    call = calls.echo.spawn("kept")
    code = "import sys, wherry; print(wherry.FunctionCall.from_id(sys.argv[1]).get(timeout=60))"
    other = subprocess.run(
        [sys.executable, "-c", code, call.object_id],
        capture_output=True,
        text=True,
        env=environment,
        timeout=90,
        check=False,
    )
    assert (other.stdout, other.returncode) == ("kept\n", 0), other.stderr


def test_b13_handles_travel(calls: ModuleType) -> None:
    call = calls.echo.spawn(1)
    assert pickle.loads(pickle.dumps(call)) == call

    name, object_id, back = calls.describe.remote(call)
    assert (name, object_id, back) == ("FunctionCall", call.object_id, call)
    assert back.get(timeout=60) == 1

    name, object_id, back = calls.describe.remote(calls.add)
    assert (name, object_id) == ("Function", calls.add.object_id)
    assert back.remote(1, 2) == 3


def test_b13_a_wrong_id_is_refused(calls: ModuleType) -> None:
    with pytest.raises(wherry.exception.InvalidError, match="in-0"):
        wherry.FunctionCall.from_id("in-01J00000000000000000000000")
    with pytest.raises(wherry.exception.NotFoundError):
        wherry.FunctionCall.from_id("fc-01J00000000000000000000000").get(timeout=10)


def test_b14_gather_keeps_the_order_of_its_arguments(calls: ModuleType) -> None:
    late, early = calls.after.spawn(0.5, "late"), calls.after.spawn(0.0, "early")
    assert wherry.gather(late, early) == ["late", "early"]
    assert wherry.FunctionCall.gather(early, late) == ["early", "late"]
    assert asyncio.run(wherry.gather.aio(late, early)) == ["late", "early"]


def test_b14_gather_raises_what_fails_without_waiting_for_the_rest(calls: ModuleType) -> None:
    slow, failing = calls.after.spawn(60.0, None), calls.refuse_odd.spawn(3)
    began = time.monotonic()
    with pytest.raises(ValueError, match="odd") as caught:
        wherry.gather(slow, failing)
    assert caught.value.args == ("odd", 3)
    assert time.monotonic() - began < 30
    slow.cancel()


def test_b15_cancel_ends_running_and_waiting_calls(calls: ModuleType, is_running: IsRunning) -> None:
    calls.nap.remote(0)
    running = calls.nap.spawn(60)
    is_running(calls.nap)
    waiting = calls.nap.spawn(60)
    began = time.monotonic()

    for call in (waiting, running):
        call.cancel()
    for call in (waiting, running):
        with pytest.raises(wherry.exception.RemoteError, match="cancel"):
            call.get(timeout=30)

    assert time.monotonic() - began < 10
    assert calls.nap.remote(0)


def test_b18_each_kind_of_function_has_its_own_way_of_being_called(calls: ModuleType) -> None:
    with pytest.raises(wherry.exception.InvalidError, match=r"numbers.*remote_gen"):
        calls.numbers.remote(3)
    with pytest.raises(wherry.exception.InvalidError, match=r"add.*remote\("):
        calls.add.remote_gen(1, 2)
    with pytest.raises(wherry.exception.InvalidError, match=r"numbers.*remote_gen"):
        asyncio.run(calls.numbers.remote.aio(3))


def test_b19_large_payloads_go_both_ways(calls: ModuleType, service: OwnService) -> None:
    big = os.urandom(3 * MIB)

    assert calls.echo.remote(big) == big
    assert calls.echo.remote(value=big) == big
    assert asyncio.run(calls.echo.remote.aio(big)) == big
    assert list(calls.echo.map([big, b"small", big + b"er"])) == [big, b"small", big + b"er"]
    call = calls.echo.spawn(big)
    assert call.get(timeout=60) == big
    assert call.get(timeout=60) == big

    # What `spawn` gave is kept; all else has been taken, and goes.
    wait_until(lambda: len(_payload_blobs(service)) == 1, "payloads that were taken are gone from disk")


def test_b19_around_the_limit_nothing_is_lost(calls: ModuleType) -> None:
    for size in (MIB - 200, MIB - 1, MIB, MIB + 1):
        assert len(calls.echo.remote(b"x" * size)) == size


def _payload_blobs(service: OwnService) -> list[Path]:
    return [path for path in (service.state_dir / "blobs").rglob("bl-*") if path.is_file()]


def test_a_spawned_map_is_kept_whole(calls: ModuleType) -> None:
    call = calls.add.spawn_map(range(3000), range(3000), kwargs={"extra": 1})
    assert call.num_inputs() == 3000
    assert call.get(index=7) == 15
    again = wherry.FunctionCall.from_id(call.object_id)
    assert list(again.iter()) == [2 * i + 1 for i in range(3000)]
    assert list(again.iter(10, 12)) == [21, 23]
    with pytest.raises(IndexError, match="has 3000 inputs: index=3000 is none of them"):
        again.get(index=3000)


def test_a_spawned_map_fails_with_its_iterator_and_where_an_input_does(calls: ModuleType) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        calls.add.spawn_map(broken())
    call = calls.refuse_odd.spawn_map([2, 3])
    assert call.get(index=0) == 2
    with pytest.raises(ValueError, match="odd"):
        call.get(index=1)
    with pytest.raises(wherry.exception.InvalidError, match="no inputs"):
        calls.add.spawn_map([])


def test_a_spawned_generator_runs_and_its_values_are_kept(calls: ModuleType) -> None:
    call = calls.numbers.spawn(2000)
    assert list(call.iter()) == list(range(2000))
    assert call.get(timeout=30) is None
    again = wherry.FunctionCall.from_id(call.object_id)
    assert list(again.iter(1990)) == list(range(1990, 2000))
    assert list(again.iter(5, 8)) == [5, 6, 7]

    failing = calls.numbers.spawn(3, fail_at_end=True)
    values = failing.iter()
    assert [next(values) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(calls.MyError):
        next(values)
