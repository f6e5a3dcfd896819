"""Schedules: listed, run now, paused, resumed."""

from wherry_proto.messages import (
    ScheduleInfo,
    ScheduleListRequest,
    ScheduleListResponse,
    SchedulePauseRequest,
    ScheduleRunRequest,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ANY, DEPLOY, FUNCTION, INVOKE
from wherry_service.apps.register import AppRegister
from wherry_service.ids import check_id
from wherry_service.schedules.schedules import Schedules


class ScheduleApi:
    """Serves the schedules of deployed apps."""

    def __init__(self, schedules: Schedules, apps: AppRegister) -> None:
        self._schedules = schedules
        self._apps = apps

    @rpc("Schedules.List", ANY, ("app_id", "environment"))
    async def list(self, request: ScheduleListRequest) -> ScheduleListResponse:
        if request.app_id:
            app_ids = [self._apps.info(check_id(request.app_id, "ap", "app id")).app_id]
        else:
            app_ids = [app.app_id for app in await self._apps.list(request.environment, False)]
        found = [self._named(info) for info in await self._schedules.infos(app_ids)]
        found.sort(key=lambda info: (info.app_name, info.function_name))
        return ScheduleListResponse(schedules=found)

    @rpc("Schedules.Run", INVOKE, FUNCTION, audited=True)
    async def run(self, request: ScheduleRunRequest) -> ScheduleInfo:
        check_id(request.operation_id, "op", "operation id")
        function_id = check_id(request.function_id, "fu", "function id")
        return self._named(await self._schedules.run_now(function_id, request.operation_id))

    @rpc("Schedules.Pause", DEPLOY, FUNCTION, audited=True)
    async def pause(self, request: SchedulePauseRequest) -> ScheduleInfo:
        return self._named(await self._schedules.pause(check_id(request.function_id, "fu", "function id")))

    @rpc("Schedules.Resume", DEPLOY, FUNCTION, audited=True)
    async def resume(self, request: SchedulePauseRequest) -> ScheduleInfo:
        return self._named(await self._schedules.resume(check_id(request.function_id, "fu", "function id")))

    def _named(self, info: ScheduleInfo) -> ScheduleInfo:
        app = self._apps.info(info.app_id)
        info.app_name, info.environment = app.name, app.environment
        return info
