"""Environments: made, listed, renamed, deleted; and requests that name one which is not there."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from wherry_proto import messages, services
from wherry_proto.messages import (
    EnvironmentCreateRequest,
    EnvironmentDeleteRequest,
    EnvironmentInfo,
    EnvironmentListRequest,
    EnvironmentListResponse,
    EnvironmentRenameRequest,
)
from wherry_service.api.edge import Handler
from wherry_service.apps.environments import Environments


class EnvironmentApi:
    """Serves environments."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments

    def handlers(self) -> dict[str, Handler]:
        """Return the methods by name."""
        return {
            "Environments.Create": self.create,
            "Environments.List": self.list,
            "Environments.Rename": self.rename,
            "Environments.Delete": self.delete,
        }

    async def create(self, request: EnvironmentCreateRequest) -> EnvironmentInfo:
        return await self._environments.create(request.name)

    async def list(self, request: EnvironmentListRequest) -> EnvironmentListResponse:
        return EnvironmentListResponse(environments=list(await self._environments.list()))

    async def rename(self, request: EnvironmentRenameRequest) -> EnvironmentInfo:
        return await self._environments.rename(request.name, request.new_name)

    async def delete(self, request: EnvironmentDeleteRequest) -> EnvironmentInfo:
        return await self._environments.delete(request.name, request.force)


def within(environments: Environments, handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """Return the same methods, but for requests that name an environment which is not there: those raise `NotFound`."""
    return {name: _within(environments, name, handler) for name, handler in handlers.items()}


def _within(environments: Environments, name: str, handler: Any) -> Handler:
    method = services.METHODS[name]
    if method.client_stream or "environment" not in getattr(messages, method.request).__slots__:
        kept: Handler = handler
        return kept

    async def unary(request: Any) -> Any:
        environments.expect(request.environment)
        return await handler(request)

    async def streaming(request: Any) -> AsyncIterator[Any]:
        environments.expect(request.environment)
        async for message in handler(request):
            yield message

    return streaming if method.server_stream else unary
