"""Sandboxes, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from wherry._base.waiting import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

T = TypeVar("T")


class Listing(Generic[T]):
    """Sandboxes, fetched when first iterated, with `for` or `async for`."""

    def __init__(self, fetch: Callable[[], list[T]]) -> None:
        self._fetch = fetch

    def __iter__(self) -> Iterator[T]:
        return iter(self._fetch())

    async def __aiter__(self) -> AsyncIterator[T]:
        for sandbox in await in_thread(self._fetch):
            yield sandbox
