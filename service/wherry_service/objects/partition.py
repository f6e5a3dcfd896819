"""One partition of a queue in memory: which items wait, who waits for them, and who for room."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from wherry_proto.messages import Payload

MAX_ITEMS = 5000
# Larger values are on disk alone until somebody gets them.
_KEPT_BYTES = 8 << 10


@dataclass(slots=True)
class Item:
    """An item that is on disk, or on its way there."""

    position: int
    # None: only there.
    value: Payload | None = None

    @classmethod
    def of(cls, position: int, value: Payload) -> "Item":
        kept = not value.blob_id and len(value.data) <= _KEPT_BYTES
        return cls(position, value if kept else None)


@dataclass(eq=False, slots=True)
class Getter:
    """Somebody who asked for items: waits for them, then has them on loan until it says that they have arrived."""

    lease_id: str
    count: int
    answered: "asyncio.Future[None]"
    items: list[Item] = field(default_factory=list)
    # Set once its items are its own, or back at their place.
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    # What becomes of its word that it has them, while that is being written: its loan does not end meanwhile.
    claim: "asyncio.Future[bool] | None" = None
    # Whether it has gone, and its items go back if its word does not count.
    is_gone: bool = False


@dataclass(eq=False, slots=True)
class _Putter:
    """One who waits for room for so many items."""

    operation_id: str
    count: int
    # False: it was told to wait no longer.
    admitted: "asyncio.Future[bool]"


class Partition:
    """First in, first out, on both sides: items go to getters, and room to putters, in the order in which they came.

    An item that comes wakes one getter, never more.
    """

    def __init__(self, max_items: int = MAX_ITEMS) -> None:
        self.max_items = max_items
        self.ready: deque[Item] = deque()
        # 0: never. Milliseconds since 1970.
        self.expires_at_ms = 0
        self._lent: dict[str, Getter] = {}
        self._getters: deque[Getter] = deque()
        self._putters: deque[_Putter] = deque()
        self._watchers: list[asyncio.Future[None]] = []
        # Items that are being written.
        self._admitted = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in it and nobody waits."""
        return not (self.ready or self._lent or self._getters or self._putters or self._admitted or self._watchers)

    @property
    def num_waiting(self) -> int:
        """How many getters wait."""
        return len(self._getters)

    # Putting

    async def admit(self, operation_id: str, count: int, wait_s: float | None) -> bool:
        """Wait for room for so many items and reserve it; return False where there was none in time.

        None waits without limit.
        """
        if self.admits(count):
            self._admitted += count
            return True
        if wait_s is not None and wait_s <= 0:
            return False
        putter = _Putter(operation_id, count, asyncio.get_running_loop().create_future())
        self._putters.append(putter)
        try:
            async with asyncio.timeout(wait_s):
                await putter.admitted
        except BaseException as error:
            if putter.admitted.done() and not putter.admitted.cancelled():
                if putter.admitted.result():
                    self.withdraw(count)
            else:
                self._putters.remove(putter)
                self._admit_more()
            if isinstance(error, TimeoutError):
                return False
            raise
        return putter.admitted.result()

    def admits(self, count: int) -> bool:
        """Whether there is room for so many now, and nobody waits for it."""
        return not self._putters and self._room() >= count

    def withdraw(self, count: int) -> None:
        """Give room back that was reserved."""
        self._admitted -= count
        self._admit_more()

    def lend_ahead(self, items: Sequence[Item]) -> int:
        """Lend items to those who wait while they are still being written; return how many, from the first on.

        None where something else is being written, which came before. What a getter then says of its items is written
        after them, and counts for nothing if they are not.
        """
        count = 0
        if self._admitted == len(items):
            while self._getters and count < len(items):
                getter = self._getters[0]
                some = items[count : count + getter.count]
                # A value that is on disk alone is not there yet.
                if any(item.value is None for item in some):
                    break
                self._getters.popleft()
                if not getter.answered.done():
                    self._lend(getter, list(some))
                    count += len(some)
        self._admitted -= count
        return count

    def retract(self, positions: Iterable[int]) -> None:
        """Forget items that were lent ahead, and are not on disk."""
        gone = set(positions)
        if gone:
            self.ready = deque(item for item in self.ready if item.position not in gone)
            for getter in self._lent.values():
                getter.items = [item for item in getter.items if item.position not in gone]
            self._admit_more()

    def add(self, items: Sequence[Item]) -> None:
        """Take items in whose room was reserved."""
        self._admitted -= len(items)
        self.ready.extend(items)
        self._hand_out()
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)
        self._watchers.clear()

    def _room(self) -> int:
        lent = sum(len(getter.items) for getter in self._lent.values())
        return self.max_items - len(self.ready) - lent - self._admitted

    def _admit_more(self) -> None:
        while self._putters and self._room() >= self._putters[0].count:
            putter = self._putters.popleft()
            if not putter.admitted.done():
                self._admitted += putter.count
                putter.admitted.set_result(True)

    # Getting

    async def get(self, lease_id: str, count: int, wait_s: float | None) -> Getter:
        """Wait for items and lend them; the getter has none where there were none in time."""
        getter = Getter(lease_id, count, asyncio.get_running_loop().create_future())
        self._getters.append(getter)
        self._hand_out()
        if getter.answered.done():
            return getter
        if wait_s is not None and wait_s <= 0:
            self._getters.remove(getter)
            return getter
        try:
            async with asyncio.timeout(wait_s):
                await getter.answered
                while not getter.items and self._lent.get(lease_id) is getter:
                    # What was lent to it was retracted before it looked.
                    del self._lent[lease_id]
                    getter.answered = asyncio.get_running_loop().create_future()
                    self._getters.appendleft(getter)
                    self._hand_out()
                    await getter.answered
        except TimeoutError:
            pass
        except BaseException:
            self.give_back(getter)
            raise
        finally:
            if getter in self._getters:
                self._getters.remove(getter)
        return getter

    def give_back(self, getter: Getter) -> None:
        """Put what was lent back at its place, unless it is settled; later, if its word is being written just now.

        Whoever got the items meanwhile would be refused when that is on disk, and if the getter that has gone did not
        hear either that they are its own, they would be nobody's.
        """
        if getter.claim is not None:
            getter.is_gone = True
            return
        # By now the lease may be another loan's: of one that had gone, and said after all that it has the items.
        if self._lent.get(getter.lease_id) is getter:
            del self._lent[getter.lease_id]
            items, getter.items = getter.items, []
            self.restore(items)
        getter.settled.set()

    def cancel(self, lease_id: str) -> None:
        """End a getter's waiting, or its loan; or a putter's waiting."""
        for putter in [putter for putter in self._putters if putter.operation_id == lease_id]:
            self._putters.remove(putter)
            if not putter.admitted.done():
                putter.admitted.set_result(False)
            self._admit_more()
        if (getter := self._lent.get(lease_id)) is not None:
            self.give_back(getter)
        for getter in self._getters:
            if getter.lease_id == lease_id and not getter.answered.done():
                getter.answered.set_result(None)

    def lends(self, lease_id: str) -> bool:
        """Whether this life of the service has lent items to that getter."""
        return lease_id in self._lent

    def claiming(self, lease_id: str) -> "asyncio.Future[bool] | None":
        """Return what becomes of a getter's word that is being written just now."""
        getter = self._lent.get(lease_id)
        return getter.claim if getter is not None else None

    def claim(self, lease_id: str, positions: Iterable[int]) -> bool:
        """Hold items for the getter that says it has them, lest another is given them; False where they are gone.

        Until `settle` or `unclaim` they stay held, whatever becomes of the getter.
        """
        wanted = set(positions)
        getter = self._lent.get(lease_id)
        if getter is not None:
            if {item.position for item in getter.items} != wanted:
                return False
            getter.claim = asyncio.get_running_loop().create_future()
            return True
        # Lent by an earlier life of the service, or given back: they may still be here.
        if wanted - {item.position for item in self.ready}:
            return False
        items = [item for item in self.ready if item.position in wanted]
        self.ready = deque(item for item in self.ready if item.position not in wanted)
        loop = asyncio.get_running_loop()
        loan = Getter(lease_id, len(items), loop.create_future(), items, claim=loop.create_future(), is_gone=True)
        self._lent[lease_id] = loan
        return True

    def settle(self, lease_id: str) -> None:
        """Forget items that are their getter's now."""
        getter = self._lent.pop(lease_id, None)
        if getter is not None:
            _decide(getter, True)
            getter.settled.set()
            self._admit_more()

    def unclaim(self, lease_id: str, refused: bool) -> None:
        """End a claim that came to nothing.

        The items go back to their place where the getter was refused them, or has gone. Where its word could not be
        written it keeps them on loan, and may say so again.
        """
        if (getter := self._lent.get(lease_id)) is not None:
            _decide(getter, False)
            if refused or getter.is_gone:
                self.give_back(getter)

    def _hand_out(self) -> None:
        while self.ready and self._getters:
            getter = self._getters.popleft()
            if getter.answered.done():
                continue
            self._lend(getter, [self.ready.popleft() for _ in range(min(getter.count, len(self.ready)))])

    def _lend(self, getter: Getter, items: list[Item]) -> None:
        getter.items = items
        self._lent[getter.lease_id] = getter
        getter.answered.set_result(None)

    # The rest

    def clear(self) -> list[Item]:
        """Take out the items that nobody has on loan, for good or until `restore`."""
        items = list(self.ready)
        self.ready.clear()
        self._admit_more()
        return items

    def restore(self, items: Iterable[Item]) -> None:
        """Put items back at their place."""
        self.ready = deque(sorted((*self.ready, *items), key=lambda item: item.position))
        self._hand_out()

    def after(self, position: int, limit: int) -> list[Item]:
        """Return waiting items behind a position."""
        found: list[Item] = []
        for item in self.ready:
            if item.position > position:
                found.append(item)
                if len(found) == limit:
                    break
        return found

    async def arrival(self, wait_s: float | None) -> None:
        """Wait until an item comes, or for so long."""
        watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.append(watcher)
        try:
            async with asyncio.timeout(wait_s):
                await watcher
        except TimeoutError:
            pass
        finally:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

    def end(self) -> None:
        """Let everybody go who waits: the queue is gone."""
        for getter in (*self._getters, *self._lent.values()):
            _decide(getter, False)
            if not getter.answered.done():
                getter.answered.set_result(None)
            getter.settled.set()
        for putter in self._putters:
            if not putter.admitted.done():
                putter.admitted.set_result(False)
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)
        self._lent.clear()
        self._getters.clear()
        self._putters.clear()
        self._watchers.clear()


def _decide(getter: Getter, accepted: bool) -> None:
    claim, getter.claim = getter.claim, None
    if claim is not None and not claim.done():
        claim.set_result(accepted)
