"""Tells who runs or calls an app what its functions wait for, where that takes longer than a moment."""

import asyncio
import itertools
from collections.abc import Mapping

from wherry_proto.messages import CallKind, Notice
from wherry_service.calls.client import Clients
from wherry_service.calls.queue import FunctionQueue
from wherry_service.pools.container import State

# How often it is looked at, while something waits.
LOOK_EVERY_S = 0.5
# After so many seconds it is told, and told again: what shows it may wait until then, too.
TELL_AT_S = (1.0, 3.0)
TELL_EVERY_S = 30.0
# So many inputs are looked at for who waits for them: those whose turn is next.
MOST_LOOKED_AT = 200


class _Wait:
    """A function whose inputs wait, as one client sees it."""

    def __init__(self, name: str, app_id: str, since: float) -> None:
        self.name = name
        self.app_id = app_id
        self.since = since
        self.text = ""
        # After how many seconds it was told of last.
        self.told_s = 0.0


class Waits:
    """Looks at functions from time to time, as long as inputs of one wait and no container of it is ready.

    Who runs the app is told, and who waits for a call of the function.
    """

    def __init__(self, clients: Clients, queues: Mapping[str, FunctionQueue]) -> None:
        self._clients = clients
        self._queues = queues
        # By function and client.
        self._waits: dict[tuple[str, str], _Wait] = {}
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Look from now on: something waits."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._on_timer)
            self._look()

    def _on_timer(self) -> None:
        self._timer = None
        if self._look():
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._on_timer)

    def _look(self) -> bool:
        """Tell what is due; return whether anything waits."""
        now = asyncio.get_running_loop().time()
        before, self._waits = self._waits, {}
        waits = False
        for queue in self._queues.values():
            text = what_it_waits_for(queue)
            if not text:
                continue
            waits = True
            for client_id in dict.fromkeys((queue.client_id, *callers_of(queue))):
                key = (queue.function_id, client_id)
                wait = before.pop(key, None) or _Wait(queue.pool.plan.name, queue.app_id, now)
                self._waits[key] = wait
                self._tell(key, wait, text, now - wait.since)
        for key, wait in before.items():
            if wait.text and key[0] in self._queues:
                self._send(key, wait, f"{wait.name} goes on", now - wait.since, over=True)
        return waits

    def _tell(self, key: tuple[str, str], wait: _Wait, text: str, seconds: float) -> None:
        is_new = text != wait.text and seconds >= TELL_AT_S[0]
        is_due = any(wait.told_s < at <= seconds for at in TELL_AT_S) or seconds - wait.told_s >= TELL_EVERY_S
        if is_new or is_due:
            wait.text, wait.told_s = text, seconds
            self._send(key, wait, text, seconds)

    def _send(self, key: tuple[str, str], wait: _Wait, text: str, seconds: float, over: bool = False) -> None:
        function_id, client_id = key
        client = self._clients.get(client_id)
        if client is not None and client.connected:
            client.notice(
                Notice(
                    app_id=wait.app_id,
                    function_id=function_id,
                    text=text,
                    waits=True,
                    seconds=round(seconds, 2),
                    over=over,
                )
            )


def callers_of(queue: FunctionQueue) -> list[str]:
    """Return the clients outside of containers that wait for one of the function's next inputs, by their ids.

    Who has spawned a call waits once it asks for the result.
    """
    given = (item for container in queue.pool.live() for item in container.held.values())
    found: dict[str, None] = {}
    for item in itertools.islice(itertools.chain(given, queue.next_ones()), MOST_LOOKED_AT):
        call = item.call
        if call.kind == CallKind.WEB:
            continue  # its client is a socket
        for client in (*call.watchers, *([call.client] if call.client is not None and not call.durable else ())):
            if not client.container_id:
                found[client.client_id] = None
    return list(found)


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
