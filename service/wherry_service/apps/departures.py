"""What ends when a client is gone: its calls, its ephemeral apps, its objects."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

from wherry_service.apps.apps import Apps
from wherry_service.calls.client import Client, Clients
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.journal import Journal
from wherry_service.objects.register import ObjectRegister
from wherry_service.store.away import left_for_later
from wherry_service.tasks import Tasks

# Seconds between attempts while the database is away.
AGAIN_EVERY_S = 5.0


class Departures:
    """Ends what belonged to clients that are gone; hears of them from `clients`."""

    def __init__(
        self,
        clients: Clients,
        journal: Journal,
        dispatcher: Dispatcher,
        apps: Apps,
        register: ObjectRegister,
        tasks: Tasks,
    ) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._apps = apps
        self._register = register
        self._tasks = tasks
        clients.on_gone.append(self._gone)

    def _gone(self, client: Client) -> None:
        left = self._journal.calls_of(client)
        for call in left:
            if call.durable:
                call.client = None
        ended = [call for call in left if not call.durable]
        self._dispatcher.cancel_all(ended)
        for call in ended:
            self._journal.forget(call)
        for end in (self._apps.ending.client_gone, self._register.client_gone):
            self._tasks.spawn(_until_done(functools.partial(end, client.client_id)))


async def _until_done(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        with left_for_later():
            return await work()
        await asyncio.sleep(AGAIN_EVERY_S)
