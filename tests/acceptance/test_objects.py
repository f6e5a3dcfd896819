"""Secrets, dicts and queues, from programs, from inside containers, and over the service's death."""

import asyncio
import json
import os
import queue as builtin
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import wherry
from tests.acceptance.conftest import RunApp
from tests.acceptance.service import OwnService
from tests.waiting import wait_until

# Not in this source, which is sent to the service.
VALUE = f"hidden-{os.urandom(8).hex()}"


@pytest.fixture(scope="module")
def objects(run_app: RunApp, service: OwnService) -> Iterator[ModuleType]:
    wherry.Secret.create_deployed("acceptance", {"TOKEN": VALUE}, overwrite=True)
    wherry.Secret.create_deployed("fleeting", {"A": "1"})
    from tests.acceptance.apps import objects

    with run_app(objects.app):
        yield objects


@pytest.fixture
def queue(service: OwnService) -> Iterator[wherry.Queue]:
    with wherry.Queue.ephemeral() as made:
        yield made


def cli(environment: dict[str, str], *words: str, stdin: str = "", code: int = 0) -> str:
    command = [sys.executable, "-m", "wherry.cli.main", *words]
    ended = subprocess.run(
        command, env=environment, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_secrets_are_variables_of_which_later_ones_win(objects: ModuleType) -> None:
    found = objects.ask.remote("environ", "FROM_APP", "SHARED", "ENV", "TOKEN", "OTHER")
    assert found == {"FROM_APP": "app", "SHARED": "function", "ENV": "env", "TOKEN": VALUE, "OTHER": None}


def test_b65_a_value_is_in_no_log_no_column_no_process_list_no_inspection(
    objects: ModuleType, service: OwnService
) -> None:
    assert objects.ask.remote("environ", "TOKEN") == {"TOKEN": VALUE}
    secret = VALUE.encode()
    held = []
    for folder, _, names in os.walk(service.state_dir):
        for name in names:
            path = Path(folder) / name
            if path.is_file() and secret in path.read_bytes():
                held.append(path.name)
    assert held == []
    engine = service._engine.api
    for container in service.containers(app=objects.app.app_id):
        assert VALUE not in json.dumps(engine.inspect_container(container["Id"]))
        assert VALUE not in json.dumps(engine.top(container["Id"]))
        assert secret not in engine.logs(container["Id"])
    lines = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    assert secret not in lines


def test_b65_code_inside_gets_no_secret_by_asking(objects: ModuleType) -> None:
    with pytest.raises(wherry.exception.ExecutionError, match="not possible inside a container"):
        objects.ask.remote("secret")
    for method, request, answer in [
        ("Secrets.List", "SecretListRequest", "SecretListResponse"),
        ("Secrets.Rotate", "SecretRotateRequest", "SecretRotateResponse"),
    ]:
        with pytest.raises(wherry.exception.InvalidError, match=f"has no method '{method}'"):
            objects.ask.remote("rpc", method, request, answer)
    # For a sandbox it may name one that its app's functions have; no answer has values in it.
    with pytest.raises(wherry.exception.NotFoundError, match="does not exist in this container's environment"):
        objects.ask.remote("rpc", "Secrets.Lookup", "SecretLookupRequest", "SecretInfo")


def test_a_changed_value_reaches_new_containers(objects: ModuleType) -> None:
    assert objects.token.remote()[0] == VALUE
    wherry.Secret.create_deployed("acceptance", {"TOKEN": "changed"}, overwrite=True)
    try:
        assert objects.token.remote()[0] == "changed"
    finally:
        wherry.Secret.create_deployed("acceptance", {"TOKEN": VALUE}, overwrite=True)


def test_a_function_with_a_secret_that_is_not_there_is_told_before_it_runs(service: OwnService) -> None:
    app = wherry.App("lacking")
    app.function(serialized=True, secrets=[wherry.Secret.from_name("acceptence")])(lambda: None)
    with pytest.raises(wherry.exception.NotFoundError, match="no secret 'acceptence'; did you mean 'acceptance'"):
        app.run().__enter__()


def test_a_function_whose_secret_was_deleted_is_told_so_and_does_not_wait(objects: ModuleType) -> None:
    wherry.Secret.delete("fleeting")
    with pytest.raises(
        wherry.exception.RemoteError, match=r"it lacks what it needs: secret st-\w+ was deleted: create it again"
    ):
        objects.fleeting.remote()


def test_b58_dicts_and_queues_are_handed_across_and_shared(objects: ModuleType, queue: wherry.Queue) -> None:
    shared = wherry.Dict.from_name("acceptance", create_if_missing=True)
    assert objects.ask.remote("put", shared, ("a", 1), {"b": [None]}) == {"b": [None]}
    assert shared["a", 1] == {"b": [None]}
    assert objects.ask.remote("name", "acceptance") == [(("a", 1), {"b": [None]})]
    with wherry.Queue.ephemeral() as work:
        moving = objects.ask.spawn("move", work, queue)
        for value in (1, "two", b"3" * (2 << 20), None):
            work.put(value)
        assert moving.get(timeout=60) == 3
    assert queue.get_many(3) == [1, "two", b"3" * (2 << 20)]


def test_large_values_go_both_ways(objects: ModuleType) -> None:
    with wherry.Dict.ephemeral() as shared:
        assert objects.ask.remote("put", shared, "large", b"x" * (3 << 20)) == b"x" * (3 << 20)
        assert shared["large"] == b"x" * (3 << 20)


def test_ephemeral_ones_and_those_of_an_app_are_used_inside(objects: ModuleType) -> None:
    assert objects.ask.remote("ephemeral") == [1, 2, 3]
    assert objects.ask.remote("own") == {"made": "outside", "inside": 1}
    assert dict(objects.app.own.items()) == {"made": "outside", "inside": 1}
    wherry.Queue.lookup("acceptance", create_if_missing=True)
    assert objects.ask_async.remote("acceptance", 7) == [("a", 7)]
    assert wherry.Queue.from_name("acceptance").get(timeout=10) == 7


def test_a_function_that_looks_for_a_dict_elsewhere_is_told(objects: ModuleType) -> None:
    with pytest.raises(wherry.exception.NotFoundError, match="environment 'main' has no dict 'nowhere'"):
        objects.ask.remote("name", "nowhere")


def test_b58_the_lock_that_fifty_try_for(service: OwnService) -> None:
    with wherry.Dict.ephemeral() as locks:
        got: list[int] = []

        def grab(number: int) -> None:
            if locks.put("lock", number, skip_if_exists=True):
                got.append(number)

        threads = [threading.Thread(target=grab, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1
        assert locks["lock"] == got[0]


def test_a_getter_killed_while_it_waits_or_has_been_given_an_item_loses_nothing(
    queue: wherry.Queue, environment: dict[str, str]
) -> None:
    # It is stopped between the answer and its acknowledgement, and killed there.
    code = f"""
import os, wherry
from wherry._objects.queues import Getting
loaded = Getting._loaded
def stop(self, client, payloads):
    print("has it", flush=True)
    os.read(0, 1)
Getting._loaded = stop
wherry.Queue.from_id({queue.object_id!r}).get()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    queue.put("precious")
    assert process.stdout.readline() == b"has it\n"
    assert queue.len() == 0
    process.kill()
    process.wait()
    process.stdout.close()
    process.stdin.close()
    assert queue.get(timeout=10) == "precious"


def test_a_cancelled_getter_leaves_the_item_to_the_next(queue: wherry.Queue) -> None:
    async def scenario() -> None:
        first, second = asyncio.ensure_future(queue.get.aio()), asyncio.ensure_future(queue.get.aio())
        await asyncio.sleep(0.1)  # long enough for both to wait there; it holds without
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await queue.put.aio("item")
        assert await asyncio.wait_for(second, 10) == "item"
        with pytest.raises(builtin.Empty):
            await queue.get.aio(timeout=0.01)
        # More than an event loop's own threads, all of them waiting.
        many = [asyncio.ensure_future(queue.get.aio()) for _ in range(60)]
        await queue.put_many.aio(list(range(60)))
        assert sorted(await asyncio.gather(*many)) == list(range(60))

    asyncio.run(scenario())


def test_b66_killed_services_lose_nothing_that_was_put_and_repeat_nothing_that_was_had(
    service: OwnService, queue: wherry.Queue
) -> None:
    had: list[int] = []
    total, producers = 300, 3

    def produce(number: int) -> None:
        for n in range(total // producers):
            queue.put(number * 1000 + n)

    def consume() -> None:
        while (value := queue.get()) is not None:
            had.append(value)

    with wherry.Dict.ephemeral() as counts:
        threads = [threading.Thread(target=produce, args=(number,)) for number in range(producers)]
        threads += [threading.Thread(target=consume) for _ in range(3)]
        for thread in threads:
            thread.start()
        for killed in range(2):
            wait_until(lambda k=killed: len(had) > 60 * (k + 1), "some were had")  # type: ignore[misc]
            service.signal(signal.SIGKILL)
            # Whoever asks starts it again.
            assert counts.put(killed, killed, skip_if_exists=True)
        for thread in threads[:producers]:
            thread.join()
        wait_until(lambda: len(had) >= total, "all were had")
        queue.put_many([None] * 3)
        for thread in threads[producers:]:
            thread.join()
        assert sorted(had) == [number * 1000 + n for number in range(producers) for n in range(total // producers)]
        assert dict(counts.items()) == {0: 0, 1: 1}


def test_the_command_line(service: OwnService, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "some.env").write_text('A="from a file"\n# no\nexport B=two\n')
    (tmp_path / "some.json").write_text('{"C": "three"}')
    printed = cli(
        environment, "secret", "create", "typed", "D=4", "E=-", "--from-dotenv", str(tmp_path / "some.env"),
        "--from-json", str(tmp_path / "some.json"), "--json", stdin="from stdin\n",
    )  # fmt: skip
    assert json.loads(printed)["keys"] == ["A", "B", "C", "D", "E"]
    assert "stdin" not in printed
    assert "already: replace its values with --force" in cli(environment, "secret", "create", "typed", "A=1", code=1)
    cli(environment, "secret", "create", "typed", "A=1", "--force")
    assert "no value: write KEY=VALUE" in cli(environment, "secret", "create", "typed", "A", code=2)
    assert "typed" in cli(environment, "secret", "list")
    assert "say so with --yes" in cli(environment, "secret", "delete", "typed", code=1)
    cli(environment, "secret", "delete", "typed", "--yes")
    assert "no secret 'typed'" in cli(environment, "secret", "delete", "typed", "--yes", code=1)
    cli(environment, "dict", "create", "typed")
    cli(environment, "dict", "put", "typed", "5", "[1, null]", "--parse")
    assert json.loads(cli(environment, "dict", "items", "typed", "--json")) == [{"key": 5, "value": [1, None]}]
    assert "--parse reads a key as JSON" in cli(environment, "dict", "get", "typed", "5", code=1)
    cli(environment, "dict", "delete", "typed", "--yes")
    cli(environment, "queue", "create", "typed")
    cli(environment, "queue", "put", "typed", "a", "b")
    assert cli(environment, "queue", "peek", "typed", "-n", "5") == "'a'\n'b'\n"
    assert json.loads(cli(environment, "queue", "get", "typed", "--json")) == ["a"]
    assert json.loads(cli(environment, "queue", "list", "--json"))[-1]["items"] == 1
    cli(environment, "queue", "clear", "typed", "--yes")
    assert "is empty" in cli(environment, "queue", "get", "typed", code=1)
    cli(environment, "queue", "delete", "typed", "--yes")
