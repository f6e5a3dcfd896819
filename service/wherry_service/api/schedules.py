"""Schedules: listed, run now, paused, resumed."""

from wherry_proto.messages import (
    ScheduleInfo,
    ScheduleListRequest,
    ScheduleListResponse,
    SchedulePauseRequest,
    ScheduleRunRequest,
)
from wherry_service.api.edge import Handler
from wherry_service.apps.register import AppRegister
from wherry_service.ids import check_id
from wherry_service.schedules.schedules import Schedules


class ScheduleApi:
    """Serves the schedules of deployed apps."""

    def __init__(self, schedules: Schedules, apps: AppRegister) -> None:
        self._schedules = schedules
        self._apps = apps

    def handlers(self) -> dict[str, Handler]:
        """Return the methods by name."""
        return {
            "Schedules.List": self.list,
            "Schedules.Run": self.run,
            "Schedules.Pause": self.pause,
            "Schedules.Resume": self.resume,
        }

    async def list(self, request: ScheduleListRequest) -> ScheduleListResponse:
        if request.app_id:
            app_ids = [self._apps.info(check_id(request.app_id, "ap", "app id")).app_id]
        else:
            app_ids = [app.app_id for app in await self._apps.list(request.environment, False)]
        found = [self._named(info) for info in await self._schedules.infos(app_ids)]
        found.sort(key=lambda info: (info.app_name, info.function_name))
        return ScheduleListResponse(schedules=found)

    async def run(self, request: ScheduleRunRequest) -> ScheduleInfo:
        check_id(request.operation_id, "op", "operation id")
        function_id = check_id(request.function_id, "fu", "function id")
        return self._named(await self._schedules.run_now(function_id, request.operation_id))

    async def pause(self, request: SchedulePauseRequest) -> ScheduleInfo:
        return self._named(await self._schedules.pause(check_id(request.function_id, "fu", "function id")))

    async def resume(self, request: SchedulePauseRequest) -> ScheduleInfo:
        return self._named(await self._schedules.resume(check_id(request.function_id, "fu", "function id")))

    def _named(self, info: ScheduleInfo) -> ScheduleInfo:
        app = self._apps.info(info.app_id)
        info.app_name, info.environment = app.name, app.environment
        return info
