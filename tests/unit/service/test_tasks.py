"""Tasks that run beside everything else: none is lost, none keeps the service from ending."""

import asyncio
import errno
import logging

import pytest

from wherry_service.tasks import Tasks


async def _fails(error: Exception) -> None:
    raise error


async def _turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def _tasks() -> Tasks:
    return Tasks("a task of the harbour failed")


def test_an_error_is_logged_once_with_where_it_came_from(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        tasks = _tasks()

        task = tasks.spawn(_fails(ValueError("no water")))
        await asyncio.wait([task])
        await _turns()

        (record,) = caplog.records
        assert record.getMessage() == "a task of the harbour failed, in _fails: no water"
        assert record.exc_info is not None
        assert record.exc_info[0] is ValueError
        assert len(tasks) == 0

    asyncio.run(scenario())


def test_an_error_that_is_awaited_is_raised_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        tasks = _tasks()

        with pytest.raises(ValueError, match="no water"):
            await tasks.spawn(_fails(ValueError("no water")))
        await _turns()

        assert len(caplog.records) == 1

    asyncio.run(scenario())


def test_a_full_disk_is_logged_without_a_stack(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        tasks = _tasks()

        await asyncio.wait([tasks.spawn(_fails(OSError(errno.ENOSPC, "No space left on device")))])
        await _turns()

        (record,) = caplog.records
        assert not record.exc_info

    asyncio.run(scenario())


def test_close_cancels_and_waits(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        tasks = _tasks()
        ended: list[str] = []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append("work")

        task = tasks.spawn(work())
        await _turns()
        await tasks.close()

        assert (ended, task.cancelled(), len(tasks)) == (["work"], True, 0)
        assert not caplog.records

    asyncio.run(scenario())


def test_close_ends_also_what_is_begun_meanwhile() -> None:
    async def scenario() -> None:
        tasks = _tasks()
        later: list[asyncio.Task[None]] = []

        async def forever() -> None:
            await asyncio.Event().wait()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                later.append(tasks.spawn(forever()))

        tasks.spawn(work())
        await _turns()
        await tasks.close()

        assert [task.cancelled() for task in later] == [True]

    asyncio.run(scenario())


def test_close_logs_an_error_of_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        tasks = _tasks()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("no water")

        tasks.spawn(work())
        await _turns()
        await tasks.close()
        await _turns()

        assert len(caplog.records) == 1

    asyncio.run(scenario())


def test_close_leaves_what_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        tasks = _tasks()
        free = asyncio.Event()

        async def stubborn() -> None:
            while not free.is_set():
                try:
                    await free.wait()
                except asyncio.CancelledError:
                    continue

        task = tasks.spawn(stubborn())
        await _turns()
        with caplog.at_level(logging.ERROR):
            await tasks.close(within_s=0.01)

        (message,) = caplog.messages
        assert message.startswith("a task of the harbour failed: ")
        assert message.endswith("stubborn does not end")
        free.set()
        await task

    asyncio.run(scenario())


def test_wait_lets_all_end_and_cancels_none() -> None:
    async def scenario() -> None:
        tasks = _tasks()
        ended: list[int] = []

        async def work(number: int) -> None:
            await _turns()
            ended.append(number)

        for number in range(3):
            tasks.spawn(work(number))
        tasks.spawn(_fails(ValueError("no water")))
        await tasks.wait()

        assert (sorted(ended), len(tasks)) == ([0, 1, 2], 0)

    asyncio.run(scenario())
