"""Tells who runs an app what its functions wait for, where that takes longer than a moment."""

import asyncio
from collections.abc import Mapping

from wherry_proto.messages import Notice
from wherry_service.calls.client import Clients
from wherry_service.calls.queue import FunctionQueue
from wherry_service.pools.container import State

# How often it is looked at, while something waits.
LOOK_EVERY_S = 0.5
# After so many seconds it is told, and told again: what shows it may wait until then, too.
TELL_AT_S = (1.0, 3.0)
TELL_EVERY_S = 30.0


class _Wait:
    """A function whose inputs wait."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.text = ""
        # After how many seconds it was told of last.
        self.told_s = 0.0


class Waits:
    """Looks at functions from time to time, as long as inputs of one wait and no container of it is ready."""

    def __init__(self, clients: Clients, queues: Mapping[str, FunctionQueue]) -> None:
        self._clients = clients
        self._queues = queues
        self._waits: dict[str, _Wait] = {}
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Look from now on: something waits."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._on_timer)
            self._look()

    def _on_timer(self) -> None:
        self._timer = None
        self._look()
        if self._waits:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._on_timer)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for function_id in self._waits.keys() - self._queues.keys():
            del self._waits[function_id]
        for queue in self._queues.values():
            text = what_it_waits_for(queue) if queue.client_id else ""
            if text:
                wait = self._waits.setdefault(queue.function_id, _Wait(now))
                self._tell(queue, wait, text, now - wait.since)
            elif (over := self._waits.pop(queue.function_id, None)) is not None and over.text:
                self._send(queue, f"{queue.pool.plan.name} goes on", now - over.since, over=True)

    def _tell(self, queue: FunctionQueue, wait: _Wait, text: str, seconds: float) -> None:
        is_new = text != wait.text and seconds >= TELL_AT_S[0]
        is_due = any(wait.told_s < at <= seconds for at in TELL_AT_S) or seconds - wait.told_s >= TELL_EVERY_S
        if is_new or is_due:
            wait.text, wait.told_s = text, seconds
            self._send(queue, text, seconds)

    def _send(self, queue: FunctionQueue, text: str, seconds: float, over: bool = False) -> None:
        client = self._clients.get(queue.client_id)
        if client is not None and client.connected:
            client.notice(
                Notice(
                    app_id=queue.app_id,
                    function_id=queue.function_id,
                    text=text,
                    waits=True,
                    seconds=round(seconds, 2),
                    over=over,
                )
            )


def what_it_waits_for(queue: FunctionQueue) -> str:
    """Return what the inputs of a function wait for, in words; "" where none waits, or a container is at work."""
    pool = queue.pool
    name, live = pool.plan.name, pool.live()
    if not (len(queue) or pool.waiting_sessions or pool.in_flight) or any(one.ready for one in live):
        return ""
    if not live:
        wanted = pool.starts.waits_for
        return f"{name} waits for {wanted}" if wanted else f"{name} waits for its next try to start a container"
    if any(one.state in (State.IDLE, State.BUSY) for one in live):
        return f"A container of {name} imports its code"
    if all(one.handle is None for one in live):
        return f"A container of {name} is prepared: image, secrets, files"
    return f"A container of {name} starts"
