"""Apps and Functions."""

from wherry_proto.messages import (
    AppInfo,
    AppListRequest,
    AppListResponse,
    AppOpenRequest,
    AppPublishRequest,
    AppPublishResponse,
    AppStopRequest,
    AppStopResponse,
    FunctionBindRequest,
    FunctionInfo,
    FunctionLookupRequest,
    FunctionStats,
    FunctionStatsRequest,
    FunctionUpdateRequest,
)
from wherry_service.apps.apps import Apps
from wherry_service.calls.client import Clients
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.ids import check_id

# Longer than exit hooks may take.
STOP_DEADLINE_S = 60


class AppApi:
    """Serves apps and what is asked about their functions."""

    def __init__(self, apps: Apps, clients: Clients, dispatcher: Dispatcher) -> None:
        self._apps = apps
        self._clients = clients
        self._dispatcher = dispatcher

    async def open(self, request: AppOpenRequest) -> AppInfo:
        self._clients.expect(check_id(request.client_id, "cl", "client id"))
        return await self._apps.open(request.name, request.environment, request.client_id, request.detach)

    async def publish(self, request: AppPublishRequest) -> AppPublishResponse:
        if request.deploy:
            raise InvalidRequest("this service can't deploy yet: run the app with `wherry run --detach`")
        return AppPublishResponse(functions=await self._apps.publish(request.app_id, request.functions))

    async def stop(self, request: AppStopRequest) -> AppStopResponse:
        deadline_s = request.deadline_s or STOP_DEADLINE_S
        count, left_over = await self._apps.stop(request.app_id, "The app was stopped.", deadline_s=deadline_s)
        return AppStopResponse(num_containers_stopped=count, left_over=left_over)

    async def list(self, request: AppListRequest) -> AppListResponse:
        return AppListResponse(apps=await self._apps.list(request.environment, request.include_stopped))

    async def lookup(self, request: FunctionLookupRequest) -> FunctionInfo:
        if request.function_id:
            return self._apps.function(check_id(request.function_id, "fu", "function id"))
        return self._apps.lookup(request.app_name, request.name, request.environment)

    async def bind(self, request: FunctionBindRequest) -> FunctionInfo:
        check_id(request.function_id, "fu", "function id")
        return await self._apps.bind(request)

    async def update(self, request: FunctionUpdateRequest) -> FunctionInfo:
        check_id(request.function_id, "fu", "function id")
        return await self._apps.update(request)

    async def stats(self, request: FunctionStatsRequest) -> FunctionStats:
        queue = self._dispatcher.queue(request.function_id)
        if queue is None:
            raise NotFound(f"function {request.function_id[:64]} does not exist, or its app has stopped")
        containers = list(queue.pool.containers.values())
        return FunctionStats(
            backlog=len(queue),
            num_active_containers=sum(1 for container in containers if container.held),
            num_total_containers=len(containers),
        )
