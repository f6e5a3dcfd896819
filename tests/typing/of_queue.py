"""Queues, of anything or of what is said. Checked, never executed."""

from typing import Any, assert_type

import wherry


def of_anything() -> None:
    queue = wherry.Queue.from_name("x")
    assert_type(queue, wherry.Queue[Any])
    assert_type(queue.get(), Any)
    with wherry.Queue.ephemeral() as other:
        assert_type(other, wherry.Queue[Any])


def of_something() -> None:
    jobs = wherry.Queue[str].from_name("jobs")
    assert_type(jobs, wherry.Queue[str])
    assert_type(jobs.get(), str)
    assert_type(jobs.get(timeout=1), str)
    assert_type(jobs.get(block=False), str | None)
    assert_type(jobs.get_many(3), list[str])
    assert_type(list(jobs.iterate()), list[str])
    assert_type(jobs.len(), int)
    jobs.put("a")
    jobs.put_many(["a", "b"])
    jobs.put(1)  # type: ignore[arg-type]
    jobs.put_many([1])  # type: ignore[list-item]
    known: wherry.Queue[str] = wherry.Queue.from_name("jobs")
    assert_type(known.get(), str)


async def awaiting() -> None:
    jobs = wherry.Queue[str].from_name("jobs")
    assert_type(await jobs.get.aio(), str)
    assert_type(await jobs.get.aio(False), str | None)
    assert_type(await jobs.get_many.aio(5, timeout=1), list[str])
    assert_type(await jobs.put.aio("a"), None)
    async for job in jobs.iterate.aio():
        assert_type(job, str)
    assert_type(await wherry.Queue.lookup.aio("x"), wherry.Queue[Any])
