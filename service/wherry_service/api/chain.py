"""What stands between who asks and a handler: interceptors, one after another, the same for every rpc.

By each way in it is another chain: on this machine the audit log and the environment that is named; over TCP the token
first (access.py); from inside containers what a container may ask (guests.py).
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from wherry_proto import services
from wherry_service.api.rpc import Handler


class Interceptor(Protocol):
    """Stands before handlers."""

    def around(self, name: str, handler: Any) -> Any:
        """Return the handler of an rpc with this before it, or itself, where it has no say in it."""


def chained(handlers: Mapping[str, Handler], *interceptors: Interceptor) -> dict[str, Handler]:
    """Return the same rpcs with these before them, of which the first is asked first."""
    found = dict(handlers)
    for interceptor in reversed(interceptors):
        found = {name: interceptor.around(name, handler) for name, handler in found.items()}
    return found


def before(name: str, check: Callable[[Any], Awaitable[Any]]) -> Any:
    """Return a handler that has `check` look at a request first, and serves it by the handler which that returns."""

    async def unary(request: Any) -> Any:
        serve = await check(request)
        return await serve(request)

    async def streaming(request: Any) -> AsyncIterator[Any]:
        serve = await check(request)
        async with contextlib.aclosing(serve(request)) as answers:
            async for answer in answers:
                yield answer

    return streaming if services.METHODS[name].server_stream else unary


Enter = Callable[[Any], AbstractContextManager[Callable[[], Awaitable[Any]]]]


def during(name: str, enter: Enter) -> Any:
    """Return a handler that enters a context for a request's time; that gives what says which handler serves it."""

    async def unary(request: Any) -> Any:
        with enter(request) as find:
            serve = await find()
            return await serve(request)

    async def streaming(request: Any) -> AsyncIterator[Any]:
        with enter(request) as find:
            serve = await find()
            async with contextlib.aclosing(serve(request)) as answers:
                async for answer in answers:
                    yield answer

    return streaming if services.METHODS[name].server_stream else unary
