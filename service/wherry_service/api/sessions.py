"""Calls.Session: a client's calls and their outputs, on one stream."""

import asyncio
from collections.abc import AsyncIterator

from wherry_proto.messages import CallKind, SessionDown, SessionUp, Welcome
from wherry_service import __version__
from wherry_service.calls.call import Input
from wherry_service.calls.client import Client, Clients
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.journal import Journal
from wherry_service.errors import InvalidRequest
from wherry_service.ids import check_id

PROTOCOL = 1
INLINE_LIMIT = 1 << 20


class SessionApi:
    """Serves the session streams."""

    def __init__(self, clients: Clients, journal: Journal, dispatcher: Dispatcher, instance_id: str) -> None:
        self._clients = clients
        self._journal = journal
        self._dispatcher = dispatcher
        self._instance_id = instance_id

    async def session(self, requests: AsyncIterator[SessionUp]) -> AsyncIterator[SessionDown]:
        """Serve one stream until either side ends it."""
        first = await anext(aiter(requests), None)
        if first is None or first.hello is None:
            raise InvalidRequest("a session begins with hello")
        if first.hello.protocol != PROTOCOL:
            raise InvalidRequest(
                f"this service speaks protocol {PROTOCOL} (wherry {__version__}), the client speaks "
                f"{first.hello.protocol} (wherry {first.hello.version}): install the same version on both sides"
            )
        client = self._clients.connect(check_id(first.hello.client_id, "cl", "client id"))
        session = client.session
        reader: asyncio.Future[None] | None = None
        try:
            yield SessionDown(
                welcome=Welcome(
                    protocol=PROTOCOL,
                    version=__version__,
                    instance_id=self._instance_id,
                    inline_limit=INLINE_LIMIT,
                )
            )
            self._journal.resume(client)
            self._receive(client, first)
            reader = asyncio.ensure_future(self._read(client, requests))
            async for message in self._outgoing(client, session, reader):
                yield message
        finally:
            if reader is not None:
                reader.cancel()
            self._clients.disconnect(client, session)

    async def _outgoing(
        self, client: Client, session: int, reader: "asyncio.Future[None]"
    ) -> AsyncIterator[SessionDown]:
        reader.add_done_callback(lambda _: client.wake())
        while not reader.done() and client.session == session:
            message = await client.next_message(session)
            if message is not None:
                yield message
        if reader.done():
            reader.result()

    async def _read(self, client: Client, requests: AsyncIterator[SessionUp]) -> None:
        async for message in requests:
            self._receive(client, message)

    def _receive(self, client: Client, message: SessionUp) -> None:
        """Pass on what a message says, in the order that makes sense of it."""
        journal = self._journal
        if message.taken:
            journal.take(message.taken)
        for start in message.calls:
            journal.start(client, start)
        if message.inputs:
            self._receive_inputs(client, message)
        for end in message.ends:
            if (call := journal.call(end.call_id)) is not None:
                journal.end(call, end.num_inputs)
        for row in message.yields_taken:
            if (item := journal.open_input(row.input_id)) is not None:
                self._dispatcher.taken(item, row.index)
        for cancel in message.cancels:
            if (call := journal.call(cancel.call_id)) is not None:
                self._dispatcher.cancel(call, cancel.terminate_containers)
        for watch in message.watches:
            journal.watch(client, watch.call_id)

    def _receive_inputs(self, client: Client, message: SessionUp) -> None:
        fresh = self._journal.new_inputs(message.inputs)
        plain: list[Input] = []
        durable: list[Input] = []
        for item in fresh:
            (durable if item.call.kind == CallKind.SPAWN else plain).append(item)
        if plain:
            self._dispatcher.submit(plain)
        if durable:
            self._journal.save(client, durable, self._dispatcher.submit)
        if len(fresh) < len(message.inputs):
            self._journal.confirm_known(client, message.inputs)
