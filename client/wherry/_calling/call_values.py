"""The values of a call that was spawned, one after the other, for `for` and `async for` alike."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from wherry._base.waiting import in_thread
from wherry._calling.watch import Watch

R = TypeVar("R")

_END = object()


class CallValues(Generic[R]):
    """Iterable once; nothing is asked before the first step."""

    def __init__(self, watch: Callable[[], Watch], start: int, end: int | None) -> None:
        self._values: Iterator[R] = _values(watch, start, end)

    def __iter__(self) -> "CallValues[R]":
        return self

    def __next__(self) -> R:
        return next(self._values)

    def __aiter__(self) -> "CallValues[R]":
        return self

    async def __anext__(self) -> R:
        value: Any = await in_thread(lambda: next(self._values, _END))
        if value is _END:
            raise StopAsyncIteration
        return value  # type: ignore[no-any-return]


def _values(watched: Callable[[], Watch], start: int, end: int | None) -> Iterator[Any]:
    with watched() as watch:
        count = watch.num_inputs()
        if watch.is_generator:
            yield from watch.values(start, end)
            return
        for index in range(start, count if end is None else min(end, count)):
            yield watch.get(None, index)
