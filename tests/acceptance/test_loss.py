"""Containers and the service itself go, and come back."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import wherry
from tests.acceptance.service import OwnService
from tests.waiting import wait_until

IsRunning = Callable[[wherry.Function[..., object]], None]


def test_b33_an_input_lost_with_its_container_runs_again(
    calls: ModuleType, service: OwnService, is_running: IsRunning
) -> None:
    before = calls.nap.remote(0)
    with ThreadPoolExecutor(1) as threads:
        value = threads.submit(calls.nap.remote, 1.0)
        is_running(calls.nap)

        service.kill_container(before)

        assert value.result(60) != before


def test_b33_a_map_loses_nothing_with_a_container(calls: ModuleType, service: OwnService) -> None:
    results = []
    for i, where in calls.step.map(range(200)):
        results.append(i)
        if i == 20:
            service.kill_container(where)
    assert results == list(range(200))


def test_b41_a_container_outlives_a_service_that_does_not_answer(
    calls: ModuleType, service: OwnService, is_running: IsRunning
) -> None:
    where = calls.leave_mark.remote("/tmp/before", 0)
    container = service.container_at(where)["Id"]
    call = calls.leave_mark.spawn("/tmp/after", 1.0)
    is_running(calls.leave_mark)

    service.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: service.has_file(container, "/tmp/after"), "the input has run to its end")
    finally:
        service.signal(signal.SIGCONT)

    assert call.get(timeout=60) == where
    assert calls.leave_mark.remote("/tmp/again", 0) == where


def test_b66_a_killed_service_costs_a_map_a_pause_and_no_result(calls: ModuleType, service: OwnService) -> None:
    calls.step.for_each(range(10))
    first = service.pid
    before: set[str] = set()
    results = []
    for i, where in calls.step.map(range(300)):
        results.append(i)
        if len(results) <= 20:
            before.add(where)
        if len(results) == 20:
            service.signal(signal.SIGKILL)
    assert results == list(range(300))
    assert service.pid != first
    # The containers were taken over, not replaced.
    assert before <= {container["Id"][:12] for container in service.containers()}


def test_b66_a_generator_goes_on_over_a_killed_service(calls: ModuleType, service: OwnService) -> None:
    values = []
    # More than the runner gives ahead of its caller, before and after.
    for value in calls.numbers.remote_gen(6000):
        values.append(value)
        if value == 2000:
            service.signal(signal.SIGKILL)
    assert values == list(range(6000))


def test_a_generator_loses_no_value_with_a_session(calls: ModuleType) -> None:
    session = calls.app.__wherry_owner__.client.session
    values = []
    for value in calls.numbers.remote_gen(6000):
        values.append(value)
        if value % 1000 == 500:
            session._stream.cancel()
    assert values == list(range(6000))


def test_b66_a_spawned_map_is_taken_up_where_the_killed_service_left_it(calls: ModuleType, service: OwnService) -> None:
    def numbers() -> Iterator[int]:
        for i in range(5000):
            if i == 2500:
                service.signal(signal.SIGKILL)
            yield i

    call = calls.add.spawn_map(numbers())

    assert call.num_inputs() == 5000
    assert list(call.iter()) == list(range(5000))


def test_b66_a_spawned_call_outlives_the_service(calls: ModuleType, service: OwnService, is_running: IsRunning) -> None:
    done = calls.echo.spawn("done")
    assert done.get(timeout=60) == "done"
    running = calls.after.spawn(1.0, "running")
    is_running(calls.after)

    service.signal(signal.SIGKILL)

    assert running.get(timeout=60) == "running"
    assert done.get(timeout=60) == "done"
    assert [node.status.name for node in done.get_call_graph()] == ["SUCCESS"]


def test_b68_nothing_is_left_when_an_app_has_stopped(
    run_app: Callable[[wherry.App], object], service: OwnService
) -> None:
    from tests.acceptance.apps import short

    with run_app(short.app):
        assert short.hello.remote("you") == "hello, you"
        app_id = short.app.app_id
        assert len(service.containers(app=app_id)) == 1
    # `run_app` has looked already.
    assert service.containers(app=app_id) == []


DETACHED = """
import time, wherry
app = wherry.App("detached")
@app.function(max_containers=1)
def slow(x: int) -> int:
    time.sleep(3)
    return x
@app.local_entrypoint()
def main() -> None:
    print(slow.spawn(5).object_id)
"""


def wherry_command(*args: str, **environ: str) -> str:
    """Run the command line; return what it printed."""
    command = [sys.executable, "-m", "wherry.cli.main", *args]
    environment = {**os.environ, **environ}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment).stdout


def test_a_detached_app_ends_with_its_last_call(service: OwnService, tmp_path: Path) -> None:
    source = tmp_path / "detached.py"
    source.write_text(DETACHED)
    call = wherry.FunctionCall.from_id(wherry_command("run", "-q", "-d", str(source)).split()[-1])
    assert call.get(timeout=60) == 5
    apps = json.loads(wherry_command("app", "list", "--all", "--json"))
    app_id = next(app["app_id"] for app in apps if app["name"] == "detached")
    wait_until(lambda: not service.containers(app=app_id), "the app has ended with its call")


def test_an_orderly_stop_leaves_spawned_inputs_to_the_next_life(tmp_path: Path) -> None:
    source = tmp_path / "detached.py"
    source.write_text(DETACHED)
    with tempfile.TemporaryDirectory(prefix="wherry-") as state_dir:
        try:
            call_id = wherry_command("run", "-q", "-d", str(source), WHERRY_STATE_DIR=state_dir).split()[-1]
            wherry_command("server", "stop", "--force", WHERRY_STATE_DIR=state_dir)
            wherry_command("server", "start", WHERRY_STATE_DIR=state_dir)
            get = f"import wherry; print(wherry.FunctionCall.from_id({call_id!r}).get(timeout=60))"
            environment = {**os.environ, "WHERRY_STATE_DIR": state_dir}
            command = [sys.executable, "-c", get]
            assert subprocess.check_output(command, env=environment, text=True, timeout=90).strip() == "5"
        finally:
            wherry_command("server", "stop", "--force", WHERRY_STATE_DIR=state_dir)
