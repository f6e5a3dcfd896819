"""Writes that fail: told in a sentence to whoever waits, refused or tried again, and never a wait without end."""

import asyncio
import errno
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.unit.service.test_dispatcher import World, run
from wherry_proto.messages import CallKind, FailureKind, SessionDown
from wherry_service.api.statuses import status_of
from wherry_service.calls import writing
from wherry_service.errors import stack_of
from wherry_service.store.database import Database
from wherry_service.store.trouble import StorageFailed, StorageFull, Told, in_words, of_disk, of_postgres, of_sqlite

FULL = StorageFull("the disk is full")


def broken(code: int) -> Any:
    """Return work whose database fails by one of SQLite's codes."""

    def work(connection: sa.Connection) -> None:
        error = sqlite3.OperationalError("as SQLite says it")
        error.sqlite_errorcode = code
        raise sa.exc.OperationalError("insert", {}, error)

    return work


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        (13, "RESOURCE_EXHAUSTED", "database is on is full: free space"),
        (8, "FAILED_PRECONDITION", "can only be read"),
        (10 | 3 << 8, "FAILED_PRECONDITION", "input/output error"),
        (5, "FAILED_PRECONDITION", "another program has locked"),
    ],
)
def test_what_sqlite_says_becomes_one_sentence_and_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int, status: str, says: str
) -> None:
    async def main() -> list[Any]:
        writes = [database.write(broken(code)) for _ in range(300)]
        return await asyncio.gather(*writes, return_exceptions=True)

    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.begin()
    caplog.clear()
    try:
        errors = asyncio.run(main())
    finally:
        database.close()
    assert len(errors) == 300
    for error in errors:
        found, text = status_of("Dicts.Put", error)
        assert found == status
        assert says in text
        assert "sqlalchemy" not in text
        assert "\n" not in text
    lines = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.exc_info for record in lines] == [None]


def test_a_fault_of_ours_stays_one(tmp_path: Path) -> None:
    assert of_sqlite(1, lambda: True) is None
    assert of_postgres("23505") is None
    assert of_disk(OSError(errno.ENOENT, "x"), "files are") is None


def test_an_input_output_error_of_a_full_disk_is_told_as_full() -> None:
    assert isinstance(of_sqlite(10 | 3 << 8, lambda: True), StorageFull)
    assert isinstance(of_sqlite(10 | 3 << 8, lambda: False), StorageFailed)


@pytest.mark.parametrize(("state", "kind"), [("53100", StorageFull), ("58030", StorageFailed)])
def test_what_postgresql_says_is_told_likewise(state: str, kind: type[Exception]) -> None:
    assert isinstance(of_postgres(state), kind)


def test_the_disk_of_files_is_told_without_a_stack(caplog: pytest.LogCaptureFixture) -> None:
    status, text = status_of("Blobs.Put", OSError(errno.ENOSPC, "No space left on device"))
    assert status == "RESOURCE_EXHAUSTED"
    assert "is full: free space on it" in text
    assert [record.exc_info for record in caplog.records if record.exc_info] == []


def test_a_full_disk_is_told_without_the_files_path() -> None:
    assert "is full: free space on it" in in_words(OSError(errno.ENOSPC, "No space left on device", "/somewhere"))
    assert in_words(OSError(errno.ENOENT, "No such file", "/x")) == "[Errno 2] No such file: '/x'"
    assert in_words(ValueError("other")) == "other"


def test_what_says_by_itself_what_was_wrong_is_logged_without_a_stack() -> None:
    for known in (FULL, OSError(errno.ENOSPC, "full"), OSError(errno.EROFS, "read-only"), OSError(errno.EIO, "broken")):
        assert stack_of(known) is None
    for ours in (OSError(errno.EBADF, "bad"), OSError("without a number"), ValueError("x")):
        assert stack_of(ours) is ours


def test_trouble_is_told_again_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([0.0, 1.0, 59.0, 61.0, 62.0])
    told = Told(lambda: next(times))
    for _ in range(5):
        told.tell(FULL)
    assert len(caplog.records) == 2


@pytest.mark.parametrize("error", [FULL, OSError(errno.EIO, "odd")])
@pytest.mark.filterwarnings("ignore")
def test_a_spawned_input_that_can_not_be_written_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def scenario(world: World) -> None:
        store = world.journal._store

        async def fail(*args: Any) -> Any:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(store, "add_inputs", fail)
            (input_id,) = world.call(1, CallKind.SPAWN)
            message: SessionDown = await world.message()
        (output,) = message.outputs
        assert output.failure is not None
        assert output.failure.kind == FailureKind.EXHAUSTED
        assert "could not be written" in output.failure.message
        assert message.accepted == []
        assert world.journal.open_input(input_id) is None
        # Offered again when there is room, it is as if it had never been.
        world.call(1, CallKind.SPAWN)
        assert len((await world.message()).accepted) == 1

    run(tmp_path, scenario)


def test_a_result_that_can_not_be_written_is_written_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "FIRST_PAUSE_S", 0.001)

    async def scenario(world: World) -> None:
        store = world.journal._store
        write, failures = store.finish_inputs, [FULL, StorageFailed("it does not work"), FULL]

        async def finish(outputs: Any) -> None:
            if failures:
                raise failures.pop()
            await write(outputs)

        monkeypatch.setattr(store, "finish_inputs", finish)
        (input_id,) = world.call(1, CallKind.SPAWN)
        await world.until(lambda: any(container.inputs for container in world.node.containers))
        (container,) = [container for container in world.node.containers if container.inputs]
        container.finish()
        await world.until(lambda: container.kept_answers == [input_id])
        assert failures == []
        assert await store.open_inputs() == []

    run(tmp_path, scenario)


def test_values_of_a_spawned_generator_are_read_in_order_though_one_was_written_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.fakes.node import payload
    from wherry_proto.messages import CallValuesRequest, Yield

    monkeypatch.setattr(writing, "FIRST_PAUSE_S", 0.001)

    async def scenario(world: World) -> None:
        values = world.journal._values
        write, gate = values._store.add, asyncio.Event()

        async def add(value: Yield) -> None:
            if value.index == 1 and not gate.is_set():
                raise FULL
            await write(value)

        monkeypatch.setattr(values._store, "add", add)
        (input_id,) = world.call(1, CallKind.SPAWN)
        await world.until(lambda: any(container.inputs for container in world.node.containers))
        item = world.journal.open_input(input_id)
        assert item is not None
        for index in range(3):
            value = Yield(input_id=input_id, call_id=item.call_id, index=index, payload=payload())
            world.journal.yielded(item, value, None)
        reader = values.serve(CallValuesRequest(call_id=item.call_id))
        read = [(await anext(reader)).index]
        following = asyncio.ensure_future(anext(reader))
        world.node.containers[0].finish()
        await world.until(lambda: len(values._writing[input_id]) == 1)
        # Its end is not told before all values are on disk.
        assert (await world.journal._store.open_inputs()) != []
        assert not following.done()
        gate.set()
        read.append((await following).index)
        read += [value.index async for value in reader]
        assert read == [0, 1, 2]

    run(tmp_path, scenario)
