"""What stands between who asks and a handler: interceptors, one after another, the same for every rpc.

By each way in it is another chain: on this machine the audit log and the environment that is named; over TCP the token
first (access.py); from inside containers what a container may ask (guests.py).
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from wherry_proto import services
from wherry_service.api.rpc import Handler

T = TypeVar("T")


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


def during(
    name: str, enter: Callable[[Any], AbstractContextManager[T]], find: Callable[[Any, T], Awaitable[Any]]
) -> Any:
    """Return a handler that enters a context for a request's time, and serves it by the handler that `find` returns.

    `find` is given the request and what the context gives.
    """

    async def unary(request: Any) -> Any:
        with enter(request) as entered:
            serve = await find(request, entered)
            return await serve(request)

    async def streaming(request: Any) -> AsyncIterator[Any]:
        with enter(request) as entered:
            serve = await find(request, entered)
            async with contextlib.aclosing(serve(request)) as answers:
                async for answer in answers:
                    yield answer

    return streaming if services.METHODS[name].server_stream else unary
