"""Takes up what an earlier life of the service left: apps, containers, sandboxes, durable inputs, missed ticks."""

import asyncio
import contextlib
import logging

from wherry_proto.messages import CallKind
from wherry_service.assembly import Parts
from wherry_service.calls.call import Call, Input
from wherry_service.engines.engine import EngineError
from wherry_service.errors import ServiceError, Unready
from wherry_service.node.node import FoundContainer
from wherry_service.store.blobs import bring_patiently
from wherry_service.store.calls import OpenInput
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)

# Seconds that clients of an earlier life get to come back before their ephemeral apps stop.
RETURN_WITHIN_S = 60.0
# Seconds that found containers get to come back before their work is given to others.
ADOPTION_S = 2.0
# Seconds that the engine gets at the start to list its containers, and between asking it again.
FIND_WITHIN_S = 2.0
FIND_EVERY_S = 5.0


class Recovery:
    """In this order: `find`, `restore` before anyone can connect, `recover` when they can."""

    def __init__(self, parts: Parts) -> None:
        self._basics = parts.basics
        self._stores = parts.stores
        self._machine = parts.machine
        self._work = parts.work
        self._published = parts.published
        self._clock = Tasks("schedules are not run by the clock any more")

    async def find(self) -> list[FoundContainer] | None:
        """Return the containers of an earlier life; None if the engine does not say in time.

        No GPU is given out before it is known which ones they have.
        """
        self._machine.capacity.gpus.await_sight("containers")
        try:
            async with asyncio.timeout(FIND_WITHIN_S):
                found = await self._machine.node.find()
        except (EngineError, TimeoutError) as error:
            log.warning("containers of an earlier life cannot be looked for yet: %s", error or "the engine is slow")
            return None
        gpus = self._machine.capacity.gpus
        for item in found:
            gpus.claim(item.container_id, item.gpu_ids)
        gpus.seen("containers")
        return found

    async def restore(self, found: list[FoundContainer]) -> list[Input]:
        """Serve the apps of an earlier life again, with their containers; return the durable inputs that are open."""
        apps, clients, objects = self._published.apps, self._work.clients, self._machine.objects
        for client_id in await apps.restore(found):
            clients.expect(client_id, RETURN_WITHIN_S)
        await self._published.deployments.restore()
        for client_id in await objects.register.restore(apps.register.ids()):
            clients.expect(client_id, RETURN_WITHIN_S)
        await self._work.sandboxes.restore()
        items = restored(await self._work.calls.open_inputs(), await self._work.schedules.open_calls())
        self._work.journal.restore(items)
        await self._work.recorded.begin()
        if apps.register.num_endpoints:
            try:
                await self._published.ingress.ready()
            except ServiceError as error:
                log.error("%s", error)
        return items

    async def recover(self, found: list[FoundContainer] | None, durable: list[Input]) -> None:
        """Take up the rest: stray containers, sandboxes, durable inputs, missed ticks; then go by the clock."""
        spawn = self._basics.tasks.spawn
        spawn(self._adopt_sandboxes())
        if found is None:
            spawn(self._find_late())
        else:
            await self._discard(self._published.apps.unwanted(found))
            if self._work.pools.num_containers:
                await self._work.pools.wait_connected(ADOPTION_S)
        if durable:
            log.info("queued %d durable inputs that were open", len(durable))
            here = {item.input_id for item in durable if self._is_here(item)}
            self._work.dispatcher.submit(item for item in durable if item.input_id in here and not item.done)
            spawn(self._submit_late([item for item in durable if item.input_id not in here]))
        self._clock.spawn(self._work.schedules.run())

    def stop_clock(self) -> None:
        """Begin nothing more by the clock: what is due from here on is the next life's."""
        self._clock.cancel()

    def _is_here(self, item: Input) -> bool:
        return not item.payload.blob_id or self._stores.blobs.is_here(item.payload.blob_id)

    async def _submit_late(self, items: list[Input]) -> None:
        """Queue inputs once their arguments have been brought here."""
        for item in items:
            await bring_patiently(self._stores.blobs, item.payload.blob_id)
            self._work.dispatcher.submit([item] if not item.done else [])

    async def _find_late(self) -> None:
        """Look for containers of an earlier life until the engine answers."""
        while (found := await self.find()) is None:
            await asyncio.sleep(FIND_EVERY_S)
        self._published.apps.adopt(found)
        await self._discard(self._published.apps.unwanted(found))

    async def _adopt_sandboxes(self) -> None:
        sandboxes, apps = self._work.sandboxes, self._published.apps
        await sandboxes.adopt()
        if len(sandboxes.register):
            # Somebody may have a URL, or a token, of one that runs on.
            with contextlib.suppress(Unready):
                await self._published.ingress.ready()
        for app_id in sandboxes.register.app_ids():
            if not apps.register.is_running(app_id):
                await sandboxes.end_app(app_id, "It has stopped.")

    async def _discard(self, container_ids: list[str]) -> None:
        for container_id in container_ids:
            try:
                await self._machine.node.discard(container_id)
                self._machine.capacity.gpus.give_back(container_id)
            except EngineError as error:
                log.warning("container %s of an earlier life could not be removed: %s", container_id, error)


def restored(rows: list[OpenInput], scheduled: set[str]) -> list[Input]:
    """Return inputs as they were before the service ended; those of one call share it.

    `scheduled` are the calls that the clock has made.
    """
    calls: dict[str, Call] = {}
    items: list[Input] = []
    for row in rows:
        call = calls.get(row.call_id)
        if call is None:
            call = calls[row.call_id] = Call(row.call_id, row.function_id, CallKind.SPAWN, None, "")
            call.num_inputs = 0
            call.cause, call.origin = row.cause, row.origin
            call.scheduled = row.call_id in scheduled
        call.num_inputs = (call.num_inputs or 0) + 1
        items.append(Input(row.input_id, call, row.index, row.payload, row.method, row.created_at_ms))
    return items
