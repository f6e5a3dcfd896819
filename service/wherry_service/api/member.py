"""One request of a holder of a token: what of it is let through."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from wherry_proto.messages import (
    BlobChunk,
    BlobGetRequest,
    BlobMissingRequest,
    BlobMissingResponse,
    CallState,
    ServerInfo,
    SessionUp,
    SourceTree,
    TokenInfo,
)
from wherry_service.api.rules import Rule
from wherry_service.api.tokens import allows
from wherry_service.apps.apps import Apps
from wherry_service.calls.client import Clients
from wherry_service.calls.journal import Journal
from wherry_service.errors import Denied, InvalidRequest, NotFound
from wherry_service.store.tokens import EnvironmentStore

_CONTENT = "sha256:"
MAX_CLAIMS = 10_000


@dataclass(slots=True)
class Surroundings:
    """What a request is checked against."""

    apps: Apps
    journal: Journal
    clients: Clients
    # Which token a client process has come with.
    claims: dict[str, str] = field(default_factory=dict)


class Member:
    """Checks what a token's holder asks (implements `sessions.Guest`)."""

    # It is in no container.
    container_id = ""

    def __init__(
        self,
        token: TokenInfo,
        surroundings: Surroundings,
        environments: EnvironmentStore,
        sent: dict[tuple[str, ...], set[str]],
    ) -> None:
        self._token = token
        self._around = surroundings
        self._environments = environments
        self._sent = sent.setdefault(tuple(token.environments), set())
        self._reachable: set[str] = set()
        self._client_id = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def check_anywhere(self, name: str, rule: Rule) -> None:
        """Raise `Denied` unless the token has the scope in some environment."""
        if not any(allows(self._token, rule.scopes, environment) for environment in self._token.environments):
            scopes = " or ".join((*rule.scopes, "admin"))
            raise Denied(f"token {self._token.name!r} does not allow {name}: that takes the scope {scopes}")

    # Clients

    def claim(self, client_id: str) -> None:
        """Note that a client process is this token's; raise `Denied` if it is another's."""
        claims, clients = self._around.claims, self._around.clients
        client = clients.get(client_id)
        owner = claims.get(client_id) if client is not None else None
        stranger = owner is None and client is not None and client.connected
        if stranger or (owner is not None and owner != self._token.token_id):
            raise Denied(f"client {client_id[:64]!r} belongs to somebody else")
        if len(claims) >= MAX_CLAIMS:
            for known in [known for known in claims if clients.get(known) is None]:
                del claims[known]
        claims[client_id] = self._token.token_id

    async def claiming(self, requests: AsyncIterator[SessionUp]) -> AsyncIterator[SessionUp]:
        """Claim the client that says hello, before its session begins."""
        async for message in requests:
            if message.hello is not None:
                if self._client_id:
                    raise InvalidRequest("a session says hello once")
                self.claim(message.hello.client_id)
                self._client_id = message.hello.client_id
            yield message

    # The session

    def restrict(self, message: SessionUp) -> None:
        """Take out of a message what this token may not ask."""
        started = set()
        calls = []
        for start in message.calls:
            known = self._around.journal.function_of(start.call_id)
            if known is not None and not self._reaches(known):
                continue
            if not self._reaches(start.function_id):
                # Its inputs are answered as those of any unknown function.
                start.function_id = "fu-out-of-reach"
            start.parent_input_id = ""
            started.add(start.call_id)
            calls.append(start)
        message.calls = calls

        def own(call_id: str | None) -> bool:
            return call_id is not None and (call_id in started or self._reaches_call(call_id))

        journal = self._around.journal
        message.inputs = [item for item in message.inputs if own(item.call_id)]
        message.ends = [item for item in message.ends if own(item.call_id)]
        message.cancels = [item for item in message.cancels if own(item.call_id)]
        message.taken = [input_id for input_id in message.taken if own(journal.call_of(input_id))]
        message.yields_taken = [row for row in message.yields_taken if own(journal.call_of(row.input_id))]
        for watch in [watch for watch in message.watches if not own(watch.call_id)]:
            message.watches.remove(watch)
            task = asyncio.ensure_future(self._watch(watch.call_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _watch(self, call_id: str) -> None:
        """Watch a call that is only on disk, if it is one of the token's."""
        environment = await self._environments.of_call(call_id)
        client = self._around.clients.get(self._client_id)
        if client is None:
            return
        if environment is not None and allows(self._token, ("invoke",), environment):
            self._around.journal.watch(client, call_id)
        else:
            client.state(CallState(call_id=call_id, known=False))

    def _reaches_call(self, call_id: str) -> bool:
        function_id = self._around.journal.function_of(call_id)
        return function_id is not None and (function_id == "fu-out-of-reach" or self._reaches(function_id))

    def _reaches(self, function_id: str) -> bool:
        if function_id in self._reachable:
            return True
        try:
            environment = self._around.apps.function(function_id).environment
        except NotFound:
            return False
        if not allows(self._token, ("invoke",), environment):
            return False
        self._reachable.add(function_id)
        return True

    # Handlers that get something else, or are told who asks

    def own_handler(self, name: str, handler: Any, rule: Rule) -> Any:
        """Return the handler as it is for this token."""
        if name.startswith("Tokens."):
            return lambda request: handler(request, self._token)
        self.check_anywhere(name, rule)
        known: dict[str, Callable[[Any, Any], Any]] = {
            "Server.Info": self._info,
            "Blobs.Missing": self._missing,
            "Blobs.Put": self._put,
            "Blobs.PutSource": self._put_source,
            "Blobs.Get": self._get,
        }
        found = known[name]
        return lambda request: found(handler, request)

    async def _info(self, handler: Any, request: Any) -> ServerInfo:
        """Leave out what is of the service's machine: files can't be handed over from another."""
        info: ServerInfo = await handler(request)
        everywhere = allows(self._token, (), "*")
        return ServerInfo(
            version=info.version,
            protocol=info.protocol,
            instance_id=info.instance_id,
            started_at_ms=info.started_at_ms,
            engine=info.engine if everywhere else None,
            num_apps=info.num_apps if everywhere else 0,
            num_containers=info.num_containers if everywhere else 0,
        )

    async def _missing(self, handler: Any, request: BlobMissingRequest) -> BlobMissingResponse:
        """Say that a file is there only to those who have sent it: who has not must not learn that others have."""
        lacking = set((await handler(request)).blob_ids)
        return BlobMissingResponse(
            blob_ids=[blob_id for blob_id in request.blob_ids if blob_id in lacking or blob_id not in self._sent]
        )

    async def _put(self, handler: Any, chunks: AsyncIterator[BlobChunk]) -> Any:
        info = await handler(chunks)
        if info.blob_id.startswith(_CONTENT):
            self._sent.add(info.blob_id)
        return info

    async def _put_source(self, handler: Any, request: SourceTree) -> Any:
        for file in request.files:
            if file.blob_id not in self._sent:
                raise NotFound(f"the content of {file.path[:200]!r} was not sent: send it first")
        return await handler(request)

    async def _get(self, handler: Any, request: BlobGetRequest) -> AsyncIterator[BlobChunk]:
        if request.blob_id.startswith(_CONTENT):
            raise Denied("source files can't be read back over TCP")
        async for chunk in handler(request):
            yield chunk
