"""Environments: made, listed, renamed, deleted; and requests that name one which is not there."""

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
from wherry_service.api.chain import before
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ADMIN, ANY, Where
from wherry_service.apps.environments import Environments


class EnvironmentApi:
    """Serves environments."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments

    @rpc("Environments.Create", ADMIN, Where.EVERYWHERE, audited=True)
    async def create(self, request: EnvironmentCreateRequest) -> EnvironmentInfo:
        return await self._environments.create(request.name)

    @rpc("Environments.List", ANY, Where.ANYWHERE)
    async def list(self, request: EnvironmentListRequest) -> EnvironmentListResponse:
        return EnvironmentListResponse(environments=list(await self._environments.list()))

    @rpc("Environments.Rename", ADMIN, Where.EVERYWHERE, audited=True)
    async def rename(self, request: EnvironmentRenameRequest) -> EnvironmentInfo:
        return await self._environments.rename(request.name, request.new_name)

    @rpc("Environments.Delete", ADMIN, Where.EVERYWHERE, audited=True)
    async def delete(self, request: EnvironmentDeleteRequest) -> EnvironmentInfo:
        return await self._environments.delete(request.name, request.force)


class ExpectedEnvironment:
    """Refuses requests that name an environment which is not there (implements `chain.Interceptor`)."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments

    def around(self, name: str, handler: Any) -> Any:
        """Return what raises `NotFound` for such a request; the handler itself where none can name one."""
        method = services.METHODS[name]
        if method.client_stream or "environment" not in getattr(messages, method.request).__slots__:
            return handler

        async def check(request: Any) -> Any:
            self._environments.expect(request.environment)
            return handler

        return before(name, check)
