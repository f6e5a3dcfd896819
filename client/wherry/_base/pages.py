"""What comes from the service page by page, for `for` and `async for` alike."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, TypeVar

from wherry._base.waiting import in_thread

T = TypeVar("T")

NextPage = Callable[[Any], tuple[list[Any], Any]]
"""From where the last page ended (None: the beginning) to items, and where this one ends; None: nothing follows."""


class Pages(Generic[T]):
    """Iterable as often as wanted, each time from the beginning."""

    def __init__(self, next_page: NextPage) -> None:
        self._next_page = next_page

    def __iter__(self) -> Iterator[T]:
        items, place = self._next_page(None)
        yield from items
        while place is not None:
            items, place = self._next_page(place)
            yield from items

    async def __aiter__(self) -> AsyncIterator[T]:
        place = None
        while True:
            at = place
            items, place = await in_thread(lambda at=at: self._next_page(at))  # type: ignore[misc]
            for item in items:
                yield item
            if place is None:
                return

    def __repr__(self) -> str:
        return "<what is there while it is iterated>"
