"""Calls.Session: a client's calls and their outputs, on one stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from wherry_proto.messages import CallKind, Failure, FailureKind, Output, SessionDown, SessionUp, Welcome
from wherry_proto.messages import Input as InputMessage
from wherry_service import __version__
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ANY, Inside, Where
from wherry_service.calls.call import Input
from wherry_service.calls.client import Client, Clients
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.journal import Journal
from wherry_service.errors import Exhausted, InvalidRequest
from wherry_service.ids import check_id, input_of_call
from wherry_service.limits import MAX_INLINE

# Of clients' sessions; runners have their own (node/frames.py).
CLIENT_PROTOCOL = 1
# Things that one message speaks of; a client sends about half as many.
MAX_ROWS = 131_072
# What a client makes itself: ids and a method's name, in characters; and an inline payload, in bytes.
MAX_ID = 64
MAX_METHOD = 256
MAX_PAYLOAD = 2 * MAX_INLINE
_MAX_COUNT = (1 << 32) - 1
_MAX_SIZE = (1 << 63) - 1
_KINDS = (CallKind.REMOTE, CallKind.MAP, CallKind.GENERATOR, CallKind.SPAWN, CallKind.SPAWN_MAP)


class SessionGuard(Protocol):
    """Who asks, unless it is the service's own user: a token's holder, or a container."""

    # "" outside of containers.
    container_id: str

    def restrict(self, client: Client, message: SessionUp) -> None:
        """Take out of a message what this client may not ask, and answer it."""


class SessionApi:
    """Serves the session streams."""

    def __init__(self, clients: Clients, journal: Journal, dispatcher: Dispatcher, instance_id: str) -> None:
        self._clients = clients
        self._journal = journal
        self._dispatcher = dispatcher
        self._instance_id = instance_id

    def begin(self, first: SessionUp, guard: SessionGuard | None = None) -> "Session":
        """Begin a session with its first message; raise `InvalidRequest` if that is no hello this service knows."""
        if first.hello is None:
            raise InvalidRequest("a session begins with hello")
        if first.hello.protocol != CLIENT_PROTOCOL:
            raise InvalidRequest(
                f"this service speaks protocol {CLIENT_PROTOCOL} (wherry {__version__}), the client speaks "
                f"{first.hello.protocol} (wherry {first.hello.version}): install the same version on both sides"
            )
        client_id = check_id(first.hello.client_id, "cl", "client id")
        client = self._clients.connect(client_id, guard.container_id if guard is not None else "")
        session = Session(client, self, guard)
        # What it has no use for any more comes with hello, and is not sent again.
        session.receive(first)
        self._journal.resume(client)
        return session

    def end(self, client: Client, number: int) -> None:
        """End a session."""
        self._clients.disconnect(client, number)

    def welcome(self) -> SessionDown:
        """Return the service's first message."""
        welcome = Welcome(
            protocol=CLIENT_PROTOCOL, version=__version__, instance_id=self._instance_id, inline_limit=MAX_INLINE
        )
        return SessionDown(welcome=welcome)

    @rpc("Calls.Session", ANY, Where.SESSION, inside=Inside.ENVIRONMENT)
    async def serve(
        self, requests: AsyncIterator[SessionUp], guard: SessionGuard | None = None
    ) -> AsyncIterator[SessionDown]:
        """Serve one gRPC stream until either side ends it."""
        first = await anext(aiter(requests), None)
        if first is None:
            raise InvalidRequest("a session begins with hello")
        session = self.begin(first, guard)
        reader = asyncio.ensure_future(self._read(session, requests))
        reader.add_done_callback(lambda _: session.client.wake())
        try:
            yield self.welcome()
            while not reader.done() and session.is_current:
                message = await session.client.next_message(session.number)
                if message is not None:
                    yield message
            if reader.done():
                reader.result()
        finally:
            reader.cancel()
            session.end()

    async def _read(self, session: "Session", requests: AsyncIterator[SessionUp]) -> None:
        async for message in requests:
            session.receive(message)

    def receive(self, client: Client, message: SessionUp) -> None:
        """Pass on what a message says, in the order that makes sense of it."""
        journal = self._journal
        if message.taken:
            journal.take(message.taken)
        for start in message.calls:
            if start.kind not in _KINDS:
                raise InvalidRequest(f"a call of kind {start.kind} can't be made by a client")
            # Its inputs are answered below that there are too many.
            if not client.is_full or journal.call(start.call_id) is not None:
                journal.start(client, start)
        if message.inputs:
            self._receive_inputs(client, message)
        for end in message.ends:
            if (call := journal.call(end.call_id)) is not None:
                journal.end(call, end.num_inputs)
        for row in message.yields_taken:
            if (item := journal.yields_taken(row.input_id, row.index)) is not None:
                self._dispatcher.taken(item, row.index)
        if message.cancels:
            self._cancel(message)
        for watch in message.watches:
            journal.watching.watch(client, watch.call_id, watch.only - 1 if watch.only else None)

    def _cancel(self, message: SessionUp) -> None:
        for hard in (False, True):
            asked = [cancel.call_id for cancel in message.cancels if cancel.terminate_containers == hard]
            calls = [call for call_id in asked if (call := self._journal.call(call_id)) is not None]
            # An input of a call of many is a call of its own, too.
            others = (call_id for call_id in asked if self._journal.call(call_id) is None)
            found = (self._journal.open_input(input_of_call(call_id)) for call_id in others)
            alone = [item for item in found if item is not None and item.is_durable]
            if calls or alone:
                self._dispatcher.cancel_all(calls, hard, alone)

    def _receive_inputs(self, client: Client, message: SessionUp) -> None:
        if client.is_full:
            for offered in message.inputs:
                if self._journal.call(offered.call_id) is None:
                    client.output(_refused(offered, len(client.calls)))
        fresh = self._journal.new_inputs(message.inputs, self._dispatcher.gate())
        plain: list[Input] = []
        durable: list[Input] = []
        for item in fresh:
            (durable if item.call.durable else plain).append(item)
        if plain:
            self._dispatcher.submit(plain)
        if durable:
            self._journal.save(client, durable, self._dispatcher.submit)
        if len(fresh) < len(message.inputs):
            self._journal.confirm_known(client, message.inputs)


def _check(message: SessionUp) -> None:
    """Raise `InvalidRequest` for a message that no client of ours sends, and that would take room for nothing."""
    count = len(message.calls) + len(message.inputs) + len(message.ends) + len(message.taken)
    count += len(message.cancels) + len(message.watches) + len(message.yields_taken)
    if count > MAX_ROWS:
        raise InvalidRequest(f"a message speaks of {MAX_ROWS} things at most, this one of {count}")
    for item in message.inputs:
        payload = item.payload
        if len(item.input_id) > MAX_ID or len(item.method) > MAX_METHOD or not 0 <= item.index <= _MAX_COUNT:
            raise InvalidRequest(f"input {item.input_id[:MAX_ID]!r} is none: its id, method or index is too large")
        if payload is None:
            continue
        if len(payload.data) > MAX_PAYLOAD or len(payload.blob_id) > 2 * MAX_ID or not 0 <= payload.size <= _MAX_SIZE:
            raise InvalidRequest(f"the payload of input {item.input_id!r} is too large to be inline")
        if not payload.blob_id:
            # The client's word for it would let it fill the queue unseen.
            payload.size = len(payload.data)


def _refused(item: InputMessage, count: int) -> Output:
    message = f"this client has {count} calls open already: make more when some have ended"
    failure = Failure(kind=FailureKind.EXHAUSTED, message=message)
    return Output(input_id=item.input_id, call_id=item.call_id, index=item.index, failure=failure)


class Session:
    """One open session, whatever carries it."""

    def __init__(self, client: Client, api: SessionApi, guard: SessionGuard | None) -> None:
        self.client = client
        self._guard = guard
        self.number = client.session
        self._api = api

    @property
    def is_current(self) -> bool:
        """Whether no later session of the same client has begun."""
        return self.client.session == self.number

    def receive(self, message: SessionUp) -> None:
        """Hear a message of the client."""
        _check(message)
        if self.client.is_deaf:
            raise Exhausted("this client asks for more than it reads: its session is ended")
        if self._guard is not None:
            self._guard.restrict(self.client, message)
        self._api.receive(self.client, message)

    def end(self) -> None:
        """Note that its stream has ended."""
        self._api.end(self.client, self.number)
