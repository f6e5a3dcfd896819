"""Apps and Functions."""

from collections.abc import Awaitable, Callable

from wherry_proto.messages import (
    AppInfo,
    AppListRequest,
    AppListResponse,
    AppOpenRequest,
    AppPublishRequest,
    AppPublishResponse,
    AppSetTagsRequest,
    AppShowRequest,
    AppShowResponse,
    AppStopRequest,
    AppStopResponse,
    FunctionBindRequest,
    FunctionDescribeRequest,
    FunctionDescription,
    FunctionEndSessionRequest,
    FunctionEndSessionResponse,
    FunctionInfo,
    FunctionLookupRequest,
    FunctionSession,
    FunctionSpec,
    FunctionStartSessionRequest,
    FunctionStats,
    FunctionStatsRequest,
    FunctionStatus,
    FunctionUpdateRequest,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ANY, APP, DEPLOY, DEVELOP, FIELD, FUNCTION, INVOKE, Inside
from wherry_service.apps.app import App
from wherry_service.apps.apps import Apps
from wherry_service.apps.deployments import Deployments
from wherry_service.apps.variants import scaled_as
from wherry_service.calls.client import Clients
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.outcomes import Outcomes
from wherry_service.calls.server_sessions import ServerSessions
from wherry_service.errors import NotFound
from wherry_service.ids import check_id
from wherry_service.store.apps import FunctionRecord

# Longer than exit hooks may take.
STOP_DEADLINE_S = 60


# Of what a function is published with: what says how it runs, and not what it is.
DESCRIBED = (
    "name", "image_id", "is_generator", "is_async", "resources", "pool", "retry", "timeout_s", "startup_timeout_s",
    "block_network", "methods", "gpus", "secret_ids", "volumes", "network_file_systems", "bucket_mounts", "web",
    "schedule",
)  # fmt: skip

NameOf = Callable[[str], Awaitable[str]]
"""From an object's id to its name; "" where it has none, or is gone."""


class AppApi:
    """Serves apps and what is asked about their functions."""

    def __init__(
        self,
        apps: Apps,
        deployments: Deployments,
        clients: Clients,
        dispatcher: Dispatcher,
        sessions: ServerSessions,
        name_of: NameOf,
    ) -> None:
        self._name_of = name_of
        self._sessions = sessions
        self._apps = apps
        self._deployments = deployments
        self._clients = clients
        self._dispatcher = dispatcher

    @rpc("Apps.Open", DEPLOY, FIELD, audited=True)
    async def open(self, request: AppOpenRequest) -> AppInfo:
        self._clients.expect(check_id(request.client_id, "cl", "client id"))
        return await self._apps.open(
            request.name, request.environment, request.client_id, request.detach, request.deploy
        )

    @rpc("Apps.Publish", DEPLOY, APP, audited=True)
    async def publish(self, request: AppPublishRequest) -> AppPublishResponse:
        return AppPublishResponse(functions=await self._apps.publish(request.app_id, request.functions))

    @rpc("Apps.Stop", DEPLOY, APP, audited=True)
    async def stop(self, request: AppStopRequest) -> AppStopResponse:
        deadline_s = request.deadline_s or STOP_DEADLINE_S
        count, left_over = await self._apps.ending.stop(request.app_id, "The app was stopped.", deadline_s=deadline_s)
        return AppStopResponse(num_containers_stopped=count, left_over=left_over)

    @rpc("Apps.SetTags", DEPLOY, APP, audited=True)
    async def set_tags(self, request: AppSetTagsRequest) -> AppInfo:
        return await self._apps.set_tags(request.app_id, request.tags)

    @rpc("Apps.Show", ANY, ("app_id", "environment"), inside=Inside.ENVIRONMENT)
    async def show(self, request: AppShowRequest) -> AppShowResponse:
        apps = self._apps.register
        app = apps.running(request.app_id) if request.app_id else apps.named(request.app_name, request.environment)
        return AppShowResponse(
            app=apps.info(app.record.app_id), functions=[self._status(app, base) for base in app.bases]
        )

    def _status(self, app: App, base: FunctionRecord) -> FunctionStatus:
        variants = [one.function_id for one in app.functions.values() if one.base_id == base.function_id]
        queues = [queue for one in (base.function_id, *variants) if (queue := self._dispatcher.queue(one)) is not None]
        spec = scaled_as(base.spec, base.live)
        containers = [container for queue in queues for container in queue.pool.containers.values()]
        outcomes = [queue.outcomes for queue in queues]
        last = max(outcomes, key=lambda one: one.last_error_at_ms, default=Outcomes())
        return FunctionStatus(
            function=self._apps.register.function_info(app, base),
            image_id=spec.image_id,
            num_containers=len(containers),
            backlog=sum(len(queue) for queue in queues),
            num_variants=len(variants),
            resources=spec.resources,
            pool=spec.pool,
            retry=spec.retry,
            gpus=spec.gpus,
            timeout_s=spec.timeout_s,
            startup_timeout_s=spec.startup_timeout_s,
            num_running=sum(len(container.held) for container in containers),
            num_active_containers=sum(1 for container in containers if container.held),
            num_succeeded=sum(one.num_succeeded for one in outcomes),
            num_failed=sum(one.num_failed for one in outcomes),
            last_error=last.last_error,
            last_error_at_ms=last.last_error_at_ms,
        )

    @rpc("Apps.List", ANY, FIELD)
    async def list(self, request: AppListRequest) -> AppListResponse:
        apps = await self._apps.register.list(request.environment, request.include_stopped)
        for info in apps:
            if self._apps.register.is_running(info.app_id):
                self._tell_error(info)
        return AppListResponse(apps=apps)

    def _tell_error(self, info: AppInfo) -> None:
        """Say how an input of an app failed last."""
        queues = [self._dispatcher.queue(one) for one in self._apps.register.running(info.app_id).functions]
        outcomes = [queue.outcomes for queue in queues if queue is not None]
        last = max(outcomes, key=lambda one: one.last_error_at_ms, default=Outcomes())
        info.last_error, info.last_error_at_ms = last.last_error, last.last_error_at_ms

    @rpc("Functions.Lookup", ANY, ("function_id", "environment"), inside=Inside.ENVIRONMENT)
    async def lookup(self, request: FunctionLookupRequest) -> FunctionInfo:
        if request.function_id:
            return self._apps.register.function(check_id(request.function_id, "fu", "function id"))
        if request.version:
            return await self._deployments.function(
                request.app_name, request.name, request.environment, request.version
            )
        return self._apps.register.lookup(request.app_name, request.name, request.environment)

    @rpc("Functions.Bind", ANY, FUNCTION, inside=Inside.ENVIRONMENT)
    async def bind(self, request: FunctionBindRequest) -> FunctionInfo:
        check_id(request.function_id, "fu", "function id")
        return await self._apps.binding.bind(request)

    @rpc("Functions.Update", DEPLOY, FUNCTION, audited=True, inside=Inside.APP)
    async def update(self, request: FunctionUpdateRequest) -> FunctionInfo:
        check_id(request.function_id, "fu", "function id")
        return await self._apps.binding.update(request)

    @rpc("Functions.StartSession", INVOKE, FUNCTION, inside=Inside.ENVIRONMENT)
    async def start_session(self, request: FunctionStartSessionRequest) -> FunctionSession:
        function_id = check_id(request.function_id, "fu", "function id")
        session = await self._sessions.start(function_id, request.idle_timeout_s)
        return FunctionSession(session_id=session.session_id, token=session.token)

    @rpc("Functions.EndSession", INVOKE, FUNCTION, inside=Inside.ENVIRONMENT)
    async def end_session(self, request: FunctionEndSessionRequest) -> FunctionEndSessionResponse:
        self._sessions.end(request.token, check_id(request.function_id, "fu", "function id"))
        return FunctionEndSessionResponse()

    @rpc("Functions.Stats", ANY, FUNCTION, inside=Inside.ENVIRONMENT)
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

    @rpc("Functions.Describe", DEVELOP, FUNCTION, inside=Inside.APP)
    async def describe(self, request: FunctionDescribeRequest) -> FunctionDescription:
        _, record = self._apps.register.find(request.function_id)
        spec = FunctionSpec(**{name: getattr(record.spec, name) for name in DESCRIBED})
        ids = [mount.volume_id for mount in (*spec.volumes, *spec.network_file_systems)] + list(spec.secret_ids)
        names = {object_id: await self._name_of(object_id) for object_id in ids}
        return FunctionDescription(
            function=self._apps.register.function(request.function_id),
            spec=spec,
            names={object_id: name for object_id, name in names.items() if name},
        )
