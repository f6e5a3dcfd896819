"""How a pool's containers come up: what each start takes of the host, and when one that failed is tried again."""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, Protocol

from wherry_proto.messages import Failure, FailureKind
from wherry_service.errors import ServiceError
from wherry_service.ids import new_id
from wherry_service.node.events import UNNEEDED, ContainerExit, Hearer
from wherry_service.node.node import FoundContainer, Node
from wherry_service.node.passing import is_passing
from wherry_service.pools.capacity import Capacity
from wherry_service.pools.container import A, Container, Home, State
from wherry_service.pools.events import PoolEvents
from wherry_service.store.trouble import in_words

log = logging.getLogger(__name__)

# Seconds after which the log says again what a start waits for.
TELL_EVERY_S = 60.0
MAX_STRIKES = 3
MAX_BACKOFF_S = 10.0


class Starting(Home, Protocol[A]):
    """The pool, as the starts of its containers need it."""

    def live(self) -> list[Container[A]]:
        """Return the containers that are not on their way out."""

    def add(self, container_id: str) -> Hearer[Container[A]]:
        """Have one container more; return who hears of it."""

    def scale(self) -> None:
        """Start containers up to the wanted number."""

    def on_crowded(self) -> None:
        """Hear that the host carries no further container now."""


class Starts(Generic[A]):
    """The starts of one pool: its orders, its strikes, and the time it backs off for."""

    def __init__(self, pool: Starting[A], node: Node, capacity: Capacity, watcher: PoolEvents[A]) -> None:
        # Who hears how the pool comes up.
        self.watcher = watcher
        self.lacks_capacity = False
        self._pool = pool
        self._node = node
        self._capacity = capacity
        # Of containers that are not with the node yet.
        self._orders: dict[Hearer[Container[A]], asyncio.Task[None]] = {}
        # Failed starts in a row, by fault of the function and of the host.
        self._strikes = self._absences = 0
        # Those of the strikes whose container had started.
        self._deaths = 0
        self._retry_at = 0.0
        # Starting a container failed in a way that will not change until somebody asks anew.
        self._gave_up = False
        self._told_at = -math.inf

    @property
    def lack(self) -> str:
        """Which of the host's limits holds another container back; "" if none does."""
        return self._capacity.lack(self._pool.plan.share) if self.lacks_capacity else ""

    @property
    def waits_for(self) -> str:
        """What another container waits for, as people say it; "" if the host has room for it."""
        return self._capacity.waits_for(self._pool.plan.share) if self.lacks_capacity else ""

    def start(self, count: int, beyond_cpu: Callable[[], bool]) -> None:
        """Start that many containers, or as many as the host carries; none while it backs off."""
        if self._gave_up or _now() < self._retry_at:
            return
        for _ in range(count):
            if not self._start_one(beyond_cpu()):
                break

    def _start_one(self, beyond_cpu: bool) -> bool:
        share, container_id = self._pool.plan.share, new_id("co")
        self.lacks_capacity = not self._capacity.take(share, container_id, beyond_cpu)
        if not self.lacks_capacity:
            hearer = self._pool.add(container_id)
            task = self._orders[hearer] = asyncio.ensure_future(self._order(hearer))
            task.add_done_callback(lambda _: self._orders.pop(hearer, None))
        elif not self._capacity.could_ever_fit(share):
            self._fail(f"needs {share}, this host has {self._capacity} for containers: ask for less")
        elif not self._capacity.gpus.could_ever_fit(share.gpus):
            # Nothing changes that while the service runs.
            self._gave_up = True
            self._fail(self._capacity.gpus.refusal(share.gpus))
        else:
            self._say_what_lacks()
            # Told when something comes back; asked for again at each tick meanwhile.
            self._capacity.wait(self._pool, self._pool.scale)
            self._pool.on_crowded()
        return not self.lacks_capacity

    def _say_what_lacks(self) -> None:
        now, pool = _now(), self._pool
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            log.info("%s has %d containers and waits for another: %s", pool.plan.name, len(pool.live()), self.lack)

    async def _order(self, hearer: Hearer[Container[A]]) -> None:
        container = hearer.container
        try:
            order = await self._pool.plan.make_order(container.container_id)
            if self._pool.plan.share.gpus:
                order = replace(order, gpu_ids=self._capacity.gpus.ids_of(container.container_id))
        except (ServiceError, OSError) as error:
            reason, passes = f"lacks what it needs: {in_words(error)}", is_passing(error)
            hearer.events.on_exit(
                container, ContainerExit(reason=reason, not_started=True, permanent=not passes, host_failed=passes)
            )
            return
        except Exception as error:  # whatever it was: what waits for this container must not wait for ever
            log.exception("a container of %s could not be ordered", self._pool.plan.name)
            reason = f"could not be ordered: the service failed with {type(error).__name__}; see its log"
            hearer.events.on_exit(container, ContainerExit(reason=reason, not_started=True))
            return
        if container.state is State.DRAINING or self._pool.closed:
            hearer.events.on_exit(container, _unneeded())
            return
        container.handle = self._node.start(order, hearer)

    def adopt(self, found: FoundContainer) -> None:
        """Take over a container of an earlier life, whatever the capacity."""
        plan, hearer = self._pool.plan, self._pool.add(found.container_id)
        hearer.container.move(State.STARTING)
        # As far as anyone knows.
        hearer.container.used = True
        self._capacity.add(plan.share)
        hearer.container.handle = self._node.adopt(found, plan.load, hearer)

    def give_back(self, container_id: str) -> None:
        """Return a container's share of the host: it has ended."""
        self._capacity.give_back(self._pool.plan.share, container_id)

    def end(self) -> None:
        """Ask for no more of the host."""
        self._capacity.forget(self._pool)

    def call_off(self) -> None:
        """End the containers that have not come to the node: they wait for their image, perhaps for long."""
        for hearer, order in list(self._orders.items()):
            if hearer.container.handle is None and hearer.container.state is not State.STOPPED:
                order.cancel()
                hearer.events.on_exit(hearer.container, _unneeded())

    def retry_now(self) -> None:
        """Forget earlier failures to start: somebody asks anew."""
        if self._strikes >= MAX_STRIKES:
            self._strikes = self._deaths = 0
        self._retry_at = 0.0
        self._gave_up = False

    # What became of a start

    def succeeded(self) -> None:
        """Hear that a container has imported the user's code."""
        self._strikes = self._absences = self._deaths = 0
        self._retry_at = 0.0

    def could_not_load(self, failure: Failure) -> None:
        """Hear that a container could not import the user's code."""
        self._strikes += 1
        self._back_off()
        self._died(f"{failure.type_name.removeprefix('builtins.')}: {failure.message}")
        self.watcher.on_start_failed(self._pool, failure)

    def failed(self, exit: ContainerExit) -> None:
        """Hear that a container has ended before it had imported the user's code."""
        if exit.reason == UNNEEDED and not exit.oom_killed:
            # It was ended since others had done the work by then: that says nothing of the function.
            return
        if exit.host_failed:
            # Counted by itself: it says nothing of the function, however often it comes.
            self._absences += 1
            self._back_off()
            self.watcher.on_notice(self._pool, f"{exit.describe()}; trying again")
            return
        self._strikes += 1
        self._gave_up = exit.permanent
        if exit.permanent or self._strikes >= MAX_STRIKES:
            tail = f"\nIts last output:\n{exit.log_tail}" if exit.log_tail else ""
            self._fail(f"{exit.describe()}{tail}")
        if exit.exit_code is not None and not exit.permanent:
            self._died(f"it {exit.describe()}")
        self._back_off()

    def _died(self, text: str) -> None:
        self._deaths += 1
        if self._deaths >= MAX_STRIKES:
            self.watcher.on_crashing(self._pool, text)

    def _fail(self, text: str) -> None:
        message = f"No container of function {self._pool.plan.name!r} could start: it {text}"
        self.watcher.on_start_failed(self._pool, Failure(kind=FailureKind.STARTUP, message=message))

    def _back_off(self) -> None:
        delay = min(MAX_BACKOFF_S, 0.25 * 2 ** min(10, self._strikes + self._absences))
        self._retry_at = _now() + delay
        asyncio.get_running_loop().call_later(delay + 0.01, self._pool.scale)


def _unneeded() -> ContainerExit:
    return ContainerExit(reason=UNNEEDED, not_started=True)


def _now() -> float:
    return asyncio.get_running_loop().time()
