"""Calls the handlers from within this process, for who came by HTTP: under the same rules and checks as over gRPC.

A caller stands for who asks. Each of its calls passes through what stands before the handlers for that asker: the
token, its rule and the audit log, or the audit log alone for the service's own user.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple, Protocol

from wherry_proto import services
from wherry_service.api.access import ID_KEY, SECRET_KEY, Access
from wherry_service.api.rpc import Handler
from wherry_service.errors import InvalidRequest


class Caller(Protocol):
    """Somebody who asks, and as whom handlers are called."""

    def handler(self, name: str) -> Any:
        """Return an rpc's handler, for example of "Apps.List", for one request: it raises what is refused.

        It takes what a handler takes, and returns or yields the same (see rpc.py).
        """


class Callers:
    """Makes callers."""

    def __init__(self, here: Mapping[str, Handler], over_tcp: Mapping[str, Handler], access: Access) -> None:
        self._here = here
        self._over_tcp = over_tcp
        self._access = access

    def local(self) -> Caller:
        """Return the service's own user, who may do all: whoever asks for it has seen to it that it is this user."""
        return _Local(self._here)

    def by_secret(self, token_id: str, secret: str, peer: str) -> Caller:
        """Return who says it has that token; each call checks whether it does.

        `peer`: where it comes from, "ipv4:10.0.0.1:4711" or "10.0.0.1:4711"; failures are counted by the address.
        """
        return _WithSecret(self._over_tcp, self._access, {ID_KEY: token_id, SECRET_KEY: secret}, peer)

    def by_token(self, token_id: str, peer: str) -> Caller:
        """Return who has proven before that it has that token, as at a log-in; a call is refused once it is revoked."""
        return _Proven(self._over_tcp, self._access, token_id, peer)


async def ask(caller: Caller, name: str, request: Any) -> Any:
    """Call an rpc that answers with one message.

    Raises the `ServiceError` that the same request over gRPC ends with; what else is raised is a fault of the
    service's own (`statuses.status_of` tells both).
    """
    if services.METHODS[name].server_stream:
        raise ValueError(f"{name} answers with many messages: use follow()")
    return await caller.handler(name)(request)


async def follow(caller: Caller, name: str, request: Any) -> AsyncGenerator[Any, None]:
    """Call an rpc that answers with messages, and yield these; close it (`contextlib.aclosing`) to end the request.

    Raises like `ask`. `request` is an async iterator where the client streams.
    """
    if not services.METHODS[name].server_stream:
        raise ValueError(f"{name} answers with one message: use ask()")
    answers = caller.handler(name)(request)
    try:
        async for answer in answers:
            yield answer
    finally:
        await answers.aclose()


class _Local(NamedTuple):
    handlers: Mapping[str, Handler]

    def handler(self, name: str) -> Any:
        return _known(self.handlers, name)


class _WithSecret(NamedTuple):
    handlers: Mapping[str, Handler]
    access: Access
    metadata: Mapping[str, str]
    peer: str

    def handler(self, name: str) -> Any:
        return self.access.guard(name, _known(self.handlers, name), self.metadata, self.peer)


class _Proven(NamedTuple):
    handlers: Mapping[str, Handler]
    access: Access
    token_id: str
    peer: str

    def handler(self, name: str) -> Any:
        return self.access.guard_token(name, _known(self.handlers, name), self.token_id, self.peer)


def _known(handlers: Mapping[str, Handler], name: str) -> Handler:
    """Return a handler; raise `InvalidRequest` for a name that is none."""
    if name not in handlers:
        raise InvalidRequest(f"there is no rpc {name[:64]!r}")
    return handlers[name]
