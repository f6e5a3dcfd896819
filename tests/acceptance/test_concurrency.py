"""Several inputs in one container, batches, retries, time-outs and cancels, on the real engine."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest

import wherry
from tests.acceptance.conftest import RunApp
from tests.acceptance.service import OwnService
from tests.waiting import wait_until
from wherry.exception import FunctionTimeoutError, InvalidError, RemoteError

CANCELLED_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def apps(run_app: RunApp) -> Iterator[ModuleType]:
    from tests.acceptance.apps import concurrency

    with run_app(concurrency.app):
        yield concurrency


def runs(function: wherry.Function[..., object], containers: int = 1) -> None:
    wait_until(
        lambda: function.get_current_stats().num_active_runners == containers, f"{function} runs in {containers}"
    )


def test_b43_map_over_a_batched_function_gives_one_result_per_input(apps: ModuleType) -> None:
    results = list(apps.double.map(range(10)))
    assert [value for value, _, _ in results] == [2 * i for i in range(10)]
    assert max(size for _, size, _ in results) == 4
    assert list(apps.double_async.map(range(20))) == [2 * i for i in range(20)]


def test_b43_one_input_alone_is_a_batch_of_one(apps: ModuleType) -> None:
    began = time.monotonic()
    assert apps.double.remote("ab", note="alone") == ("abab", 1, "alone")
    assert time.monotonic() - began > 0.3
    assert apps.double.local([1, 2]) == [(2, 2, ""), (4, 2, "")]


def test_b43_calls_that_come_together_are_one_batch(apps: ModuleType) -> None:
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda i: apps.double.remote(i, note=str(i)), range(4)))
    assert results == [(2 * i, 4, str(i)) for i in range(4)]


def test_b43_a_batch_that_fails_fails_for_each_of_its_inputs(apps: ModuleType) -> None:
    short = list(apps.double.map(["short", "b"], return_exceptions=True, wrap_returned_exceptions=False))
    for error in short:
        assert type(error) is InvalidError
        assert "double is batched: it must return a list of 2, one for each input, and returned a list of 1" in str(
            error
        )
    failed = list(apps.double.map(["fail", "b"], return_exceptions=True, wrap_returned_exceptions=False))
    assert [type(error) for error in failed] == [ValueError, ValueError]


def test_b37_six_at_a_time_take_a_sixth_of_the_time(apps: ModuleType) -> None:
    for function in (apps.thread, apps.task):
        list(function.map([0.0]))
        began = time.monotonic()
        assert len(list(function.map([0.5] * 18))) == 18
        # One after another would take 9 s.
        assert 1.4 < time.monotonic() - began < 4


def test_b38_ids_are_right_in_every_thread_and_task(apps: ModuleType) -> None:
    for function in (apps.thread, apps.task):
        results = list(function.map([0.1] * 12))
        own = [before for before, *_ in results]
        assert len({input_id for input_id, _ in own}) == 12
        (call_id,) = {call_id for _, call_id in own}
        assert call_id is not None
        assert call_id.startswith("fc-")
    for before, within, in_thread in results:
        assert before == within == in_thread
    assert wherry.current_input_id() is None


def cancelled(call: "wherry.FunctionCall[object]") -> float:
    """Cancel a call; return how long it took to end."""
    began = time.monotonic()
    call.cancel()
    with pytest.raises(RemoteError, match="cancel"):
        call.get(timeout=30)
    return time.monotonic() - began


def test_b40_a_running_function_is_interrupted(apps: ModuleType) -> None:
    path = f"/tmp/{os.urandom(4).hex()}"
    assert apps.mark.remote(path, 0) is False

    def interrupted() -> bool:
        call = apps.mark.spawn(path, 60)
        runs(apps.mark)
        assert cancelled(call) < CANCELLED_WITHIN_S
        # An input counts as running once its container has it, which is before the function's first line.
        return bool(apps.mark.remote(path, 0))

    wait_until(interrupted, "the function has seen its interrupt", 20)


def test_b40_a_running_task_is_cancelled_and_those_beside_it_go_on(apps: ModuleType) -> None:
    apps.task.remote(0)
    doomed, spared = apps.task.spawn(60), apps.task.spawn(2)
    runs(apps.task)
    assert cancelled(doomed) < CANCELLED_WITHIN_S
    assert spared.get(timeout=30)


def test_b40_a_running_generator_is_closed(apps: ModuleType) -> None:
    path = f"/tmp/{os.urandom(4).hex()}"
    assert list(apps.ticks.remote_gen(path, 0)) == [False]
    call = apps.ticks.spawn(path, 10_000)
    runs(apps.ticks)
    assert cancelled(call) < CANCELLED_WITHIN_S
    wait_until(lambda: list(apps.ticks.remote_gen(path, 0)) == [True], "the generator's finally has run", 20)


def test_b40_one_of_several_threads_ends_with_its_container(apps: ModuleType, service: OwnService) -> None:
    where = apps.thread.remote(0)[2]
    doomed = apps.thread.spawn(60)
    beside = [apps.thread.spawn(7) for _ in range(2)]
    runs(apps.thread)
    began = time.monotonic()

    assert cancelled(doomed) < CANCELLED_WITHIN_S
    wait_until(
        lambda: not any(found["Id"].startswith(where) for found in service.containers()),
        "the container has gone with what could not be interrupted",
        CANCELLED_WITHIN_S - (time.monotonic() - began),
    )
    assert [call.get(timeout=60)[2] != where for call in beside] == [True, True]


def test_b29_b30_retries(apps: ModuleType) -> None:
    def path() -> str:
        return f"/tmp/{os.urandom(4).hex()}"

    with pytest.raises(ValueError, match="always") as caught:
        apps.flaky.remote(path(), 0)
    assert caught.value.args == ("always", 4)
    assert apps.flaky.remote(path(), 3) == 3
    assert list(apps.flaky.map([path(), path()], [2, 4])) == [2, 4]


def test_b28_a_time_out_is_tried_again_as_often_as_the_policy_says(apps: ModuleType) -> None:
    path = f"/tmp/{os.urandom(4).hex()}"
    with pytest.raises(FunctionTimeoutError, match="timeout of 1 s"):
        apps.late.remote(path, 60)
    assert apps.late.remote(path, 0) == 4


def test_each_input_of_a_single_use_function_has_its_own_container(apps: ModuleType) -> None:
    assert len(set(apps.once.starmap([(), (), ()]))) == 3


def test_without_such_gpus_the_error_says_what_to_do(apps: ModuleType) -> None:
    began = time.monotonic()
    with pytest.raises(RemoteError) as caught:
        apps.needs_gpu.remote()
    assert "No container of function 'needs_gpu' could start: it asks for a GPU" in str(caught.value)
    # Which it is depends on whether this machine has any, and Docker a driver for them.
    said = ("the service sees none on this host", "ask for what there is", "install nvidia-container-toolkit")
    assert any(words in str(caught.value) for words in said)
    assert time.monotonic() - began < 20
    assert apps.needs_gpu.get_current_stats().num_total_runners == 0


def test_b44_a_closure_runs_there(run_app: RunApp) -> None:
    app = wherry.App("closures", image=wherry.Image.debian_slim())
    offset = 100

    @app.function(serialized=True)
    def shifted(x: int) -> tuple[int, bool, Callable[[int], int]]:
        return x + offset, wherry.is_local(), lambda y: y + offset

    with run_app(app):
        value, local, back = shifted.remote(1)
    assert (value, local, back(2)) == (101, False, 102)


def test_b43_a_method_takes_batches(apps: ModuleType) -> None:
    assert list(apps.Model().times.map(range(10))) == [3 * i for i in range(10)]
    assert apps.Model().times.remote(5) == 15
