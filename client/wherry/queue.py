"""Queues that functions and programs share."""

from __future__ import annotations

from wherry._base.blocking import blocking, blocking_classmethod, iterating, iterating_classmethod
from wherry._base.hints import TYPE_CHECKING, Any, Generic, TypeVar, overload
from wherry._objects.managed import Managed
from wherry._objects.shared import Ephemeral, SharedObject
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Self

    from wherry._base.pages import Pages
    from wherry._connection.client import Client
    from wherry._objects.infos import QueueInfo
    from wherry._objects.managers import QueueManager
    from wherry._objects.typed import QueueGet

# A queue whose type nobody has said is one of anything.
T = TypeVar("T", default=Any)
A = TypeVar("A")

if TYPE_CHECKING:

    class getting:
        """Decorates `get`, which type checkers see as `QueueGet`."""

        def __init__(self, method: Callable[..., Any]) -> None: ...
        def awaiting(self, method: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
            """Decorate the coroutine function that is the `.aio` form."""

        @overload
        def __get__(self, instance: None, owner: type) -> Any: ...
        @overload
        def __get__(self, instance: Queue[A], owner: type) -> QueueGet[A]: ...
        def __get__(self, instance: Any, owner: type) -> Any:
            """Give what the method is of a queue."""

else:
    getting = blocking


class Queue(SharedObject, Generic[T]):
    """A queue that functions and programs share: first in, first out, on the service's disk.

    Items are whatever pickles. Each is given to one getter: one that ends before it had the answer leaves the item at
    its place. Partitions, each named by a string, are queues of their own within one; each holds 5,000 items.
    Type checkers know what is in it where that is said: `Queue[str].from_name("jobs")`. (reference: Queue)
    """

    _kind, _prefix, _service = "queue", "qu", "Queues"

    objects: Managed[QueueManager] = Managed("QueueManager")

    if TYPE_CHECKING:

        @classmethod
        def from_name(
            cls,
            name: str,
            *,
            environment_name: str | None = None,
            create_if_missing: bool = False,
            namespace: Any = None,
            client: Client | None = None,
        ) -> Self:
            """Stand here too: jedi takes what an inherited one returns for an object of the class it stands in."""
            raise NotImplementedError

        @blocking_classmethod
        def lookup(  # of one whose type nobody has said
            cls,
            name: str,
            namespace: Any = None,
            client: Client | None = None,
            environment_name: str | None = None,
            create_if_missing: bool = False,
        ) -> Queue[Any]:
            """Like `from_name`, but looked up at once. (reference: lookup)"""
            raise NotImplementedError

    @iterating_classmethod
    def ephemeral(cls: Any, client: Client | None = None, environment_name: str | None = None) -> Ephemeral[Queue[Any]]:
        """Return what makes a new queue for the length of a `with` or `async with` block.

        It is deleted with this program, too, however that ends. (reference: Queue.ephemeral)
        """
        made: Ephemeral[Queue[Any]] = cls._ephemeral(client, environment_name)
        return made

    @classmethod
    def from_id(
        cls, queue_id: str | None = None, client: Client | None = None, *, object_id: str | None = None
    ) -> Self:
        """Return a handle on the queue of that id; raise InvalidError where it is no such id.

        `object_id` is the older name of `queue_id`. (reference: Queue.from_id)
        """
        return cls._of_id(client, queue_id=queue_id, object_id=object_id)

    @blocking
    def info(self) -> QueueInfo:
        """Return the queue's name, and when it was created; raise NotFoundError. (reference: Queue.info)"""
        from wherry._objects.infos import QueueInfo  # noqa: PLC0415 - start-up cost: only for those who ask

        found: QueueInfo = self._looked_at(QueueInfo)
        return found

    @getting
    def get(self, block: bool = True, timeout: float | None = None, *, partition: str | None = None) -> Any:
        """Take the first item and return it.

        Where there is none, wait for `timeout` seconds (None: without limit) and raise `queue.Empty`; with
        `block=False` return None at once. Of those who wait, the first gets the next item. (reference: Queue.get)
        """
        values = self._get(1, block, timeout, partition)
        return values[0] if values else None

    @get.awaiting
    async def _get_aio(self, block: bool = True, timeout: float | None = None, *, partition: str | None = None) -> Any:
        values = await self._get_async(1, block, timeout, partition)
        return values[0] if values else None

    @blocking
    def get_many(
        self, n_values: int, block: bool = True, timeout: float | None = None, *, partition: str | None = None
    ) -> list[T]:
        """Take up to `n_values` items: as many as there are, but one at least, waiting for that as `get` does.

        With `block=False` the list may be empty. (reference: Queue.get_many)
        """
        return self._get(n_values, block, timeout, partition)

    @get_many.awaiting
    async def _get_many_aio(
        self, n_values: int, block: bool = True, timeout: float | None = None, *, partition: str | None = None
    ) -> list[T]:
        return await self._get_async(n_values, block, timeout, partition)

    @blocking
    def put(
        self,
        v: T,
        block: bool = True,
        timeout: float | None = None,
        *,
        partition: str | None = None,
        partition_ttl: float | None = None,
    ) -> None:
        """Put an item at the end; it is on disk when this returns.

        Where the partition is full, wait for `timeout` seconds (None: without limit), with `block=False` not at all,
        and raise `queue.Full`. `partition_ttl`: seconds without another put after which the partition is emptied;
        never, where it was not said. (reference: Queue.put)
        """
        self._put([v], block, timeout, partition, partition_ttl)

    @put.awaiting
    async def _put_aio(
        self,
        v: T,
        block: bool = True,
        timeout: float | None = None,
        *,
        partition: str | None = None,
        partition_ttl: float | None = None,
    ) -> None:
        await self._put_async([v], block, timeout, partition, partition_ttl)

    @blocking
    def put_many(
        self,
        vs: Sequence[T],
        block: bool = True,
        timeout: float | None = None,
        *,
        partition: str | None = None,
        partition_ttl: float | None = None,
    ) -> None:
        """Put items at the end, in their order and without others between them, as `put` does: all or none.

        More than 5,000, or over 4 MiB, are put in parts, each so. (reference: Queue.put_many)
        """
        self._put(list(vs), block, timeout, partition, partition_ttl)

    @put_many.awaiting
    async def _put_many_aio(
        self,
        vs: Sequence[T],
        block: bool = True,
        timeout: float | None = None,
        *,
        partition: str | None = None,
        partition_ttl: float | None = None,
    ) -> None:
        await self._put_async(list(vs), block, timeout, partition, partition_ttl)

    @blocking
    def len(self, *, partition: str | None = None, total: bool = False) -> int:
        """Return how many items wait in the partition, or with `total` in all of them. (reference: Queue.len)"""
        from wherry_proto.messages import QueueCount, QueueCountRequest  # noqa: PLC0415 - start-up cost: not needed to import wherry

        request = QueueCountRequest(queue_id=self._resolve(), partition=_partition(partition), total=total)
        count: int = self._call("Count", request, QueueCount).count
        return count

    @blocking
    def clear(self, *, partition: str | None = None, all: bool = False) -> None:
        """Delete what waits in the partition, or with `all` in all of them. (reference: Queue.clear)"""
        from wherry._base.ids import new_id  # noqa: PLC0415 - start-up cost: as above
        from wherry_proto.messages import QueueClearRequest, QueueCount  # noqa: PLC0415 - start-up cost: as above

        if all and partition:
            raise InvalidError(
                f"clear(partition={partition!r}, all=True) says two things: leave out the one or the other"
            )
        request = QueueClearRequest(
            queue_id=self._resolve(), operation_id=new_id("op"), partition=_partition(partition), all=all
        )
        self._call("Clear", request, QueueCount)

    @iterating
    def iterate(self, *, partition: str | None = None, item_poll_timeout: float = 0.0) -> Pages[T]:
        """Iterate the items that wait, with `for` or `async for`, and leave them where they are.

        At the end, wait so many seconds for more. (reference: Queue.iterate)
        """
        from wherry._base.pages import Pages  # noqa: PLC0415 - start-up cost: as above
        from wherry._connection.values import value_of  # noqa: PLC0415 - start-up cost: as above
        from wherry_proto.messages import QueuePage, QueueScanRequest  # noqa: PLC0415 - start-up cost: as above

        name, wait_s = _partition(partition), _seconds("item_poll_timeout", item_poll_timeout)

        def next_page(place: int | None) -> tuple[list[Any], int | None]:
            request = QueueScanRequest(queue_id=self._resolve(), partition=name, after=place or 0, wait_s=wait_s)
            page = self._call("Scan", request, QueuePage)
            return [value_of(self._client, value) for value in page.values], page.after if page.values else None

        return Pages(next_page)

    @staticmethod
    def validate_partition_key(partition: str | None) -> bytes:
        """Return the partition's name as bytes; raise InvalidError for one that can't be. (reference: Queue)"""
        return _partition(partition).encode()

    def _get(self, count: int, block: bool, timeout: float | None, partition: str | None) -> list[Any]:
        values: list[Any] = self._getting(count, block, timeout, partition)()
        return values

    async def _get_async(self, count: int, block: bool, timeout: float | None, partition: str | None) -> list[Any]:
        from wherry._base.waiting import in_thread  # noqa: PLC0415 - start-up cost: the caller has asyncio already

        get = self._getting(count, block, timeout, partition)
        return await in_thread(get, get.cancel)

    def _getting(self, count: int, block: bool, timeout: float | None, partition: str | None) -> Any:
        from wherry._objects.queues import MOST, Getting  # noqa: PLC0415 - start-up cost: loads the session

        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
            raise InvalidError(f"n_values is {count!r}: it must be a whole number from 1 to {MOST}")
        return Getting(self.reached, count, _limit(block, timeout), _partition(partition), block)

    def _put(
        self, values: list[Any], block: bool, timeout: float | None, partition: str | None, ttl: float | None
    ) -> None:
        self._putting(values, block, timeout, partition, ttl)()

    async def _put_async(
        self, values: list[Any], block: bool, timeout: float | None, partition: str | None, ttl: float | None
    ) -> None:
        from wherry._base.waiting import in_thread  # noqa: PLC0415 - start-up cost: as above

        put = self._putting(values, block, timeout, partition, ttl)
        await in_thread(put, put.cancel)

    def _putting(
        self, values: list[Any], block: bool, timeout: float | None, partition: str | None, ttl: float | None
    ) -> Any:
        from wherry._objects.queues import Putting  # noqa: PLC0415 - start-up cost: as above

        ttl_s = 0.0 if ttl is None else _seconds("partition_ttl", ttl)
        if ttl is not None and not ttl_s:
            raise InvalidError("partition_ttl is 0: it must be a number of seconds above 0, or None")
        return Putting(self.reached, values, _limit(block, timeout), _partition(partition), ttl_s)


def _partition(name: str | None) -> str:
    if name is None:
        return ""
    if not isinstance(name, str) or not name or len(name.encode(errors="replace")) > 64:
        raise InvalidError(f"partition is {name!r}: it must be a string of 1 to 64 bytes, or None")
    return name


def _limit(block: bool, timeout: float | None) -> float | None:
    """Return the seconds to wait; None: without limit."""
    if not block:
        return 0.0
    return None if timeout is None else _seconds("timeout", timeout)


def _seconds(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InvalidError(f"{name} is {value!r}: it must be a number of seconds, 0 or above")
    return float(value)


def __getattr__(name: str) -> Any:
    if name == "QueueHandle":  # of 2023: what functions were given
        return Queue
    if name == "QueueManager":
        from wherry._objects.managers import QueueManager  # noqa: PLC0415 - start-up cost: only for those who name it

        return QueueManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
