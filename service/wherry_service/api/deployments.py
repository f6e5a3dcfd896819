"""Deployments: the versions of apps."""

from collections.abc import AsyncIterator

from wherry_proto.messages import (
    DeploymentCreateRequest,
    DeploymentEvent,
    DeploymentListRequest,
    DeploymentListResponse,
    DeploymentRollbackRequest,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ANY, APP, DEPLOY
from wherry_service.apps.deployments import Deployments
from wherry_service.errors import NotFound
from wherry_service.ids import check_id
from wherry_service.store.apps import AppStore


class DeploymentApi:
    """Serves deploying, rolling back, and what was deployed."""

    def __init__(self, deployments: Deployments, apps: AppStore) -> None:
        self._deployments = deployments
        self._apps = apps

    @rpc("Deployments.Create", DEPLOY, APP, audited=True)
    def create(self, request: DeploymentCreateRequest) -> AsyncIterator[DeploymentEvent]:
        check_id(request.app_id, "ap", "app id")
        return self._deployments.create(request)

    @rpc("Deployments.Rollback", DEPLOY, APP, audited=True)
    def rollback(self, request: DeploymentRollbackRequest) -> AsyncIterator[DeploymentEvent]:
        check_id(request.app_id, "ap", "app id")
        return self._deployments.rollback(request)

    @rpc("Deployments.List", ANY, ("app_id", "environment"))
    async def list(self, request: DeploymentListRequest) -> DeploymentListResponse:
        if request.app_id:
            record = await self._apps.get(check_id(request.app_id, "ap", "app id"))
        else:
            record = await self._apps.deployed(request.app_name, request.environment or "main")
        if record is None:
            name = request.app_id or f"{request.app_name!r} in environment {request.environment or 'main'!r}"
            raise NotFound(f"no app {name} was ever deployed: `wherry app list --all` shows those there are")
        return DeploymentListResponse(app_name=record.name, deployments=await self._deployments.list(record))
