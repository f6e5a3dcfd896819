"""How apps end: stopped, with their client, after their last call, with their environment or the service."""

import asyncio
import logging
import time

from wherry_proto.messages import AppState
from wherry_service.apps.app import STOP_GRACE_S, App, Beside, grace_of
from wherry_service.apps.register import AppRegister
from wherry_service.store.apps import FunctionRecord
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)

LEAVING_EVERY_S = 0.25


class AppEnding:
    """Stops apps, and functions that an app has no more."""

    def __init__(self, beside: Beside, register: AppRegister) -> None:
        self._beside = beside
        self._register = register
        self._tasks = Tasks("a function that its app has no more could not be stopped")

    async def stop(
        self, app_id: str, why: str, grace_s: float | None = None, deadline_s: float | None = None
    ) -> tuple[int, list[str]]:
        """Stop an app; return how many containers it had, and the names of those that are still there.

        After the deadline this returns, and the stopping goes on.
        """
        app = self._register.running(app_id)
        count = self._register.info(app_id).num_containers
        if app.stopping is None:
            app.stopping = asyncio.ensure_future(self._stop(app, why, grace_s))
            app.stopping.add_done_callback(app.stop_ended)
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.shield(app.stopping)
        except TimeoutError:
            if deadline_s is None:
                raise
            left_over = self._beside.node.known("wherry.app", app_id)
            log.warning("%s has not stopped within %g s: %s", app, deadline_s, ", ".join(left_over) or "no container")
            return count - len(left_over), left_over

    async def _stop(self, app: App, why: str, grace_s: float | None) -> tuple[int, list[str]]:
        beside, app_id = self._beside, app.record.app_id
        async with app.lock:
            if not self._register.is_running(app_id):
                return 0, []
            log.info("stopping %s: %s", app, why)
            beside.endpoints.claim(app_id, [])
            leaving, app.leaving = app.leaving, set()
            await beside.schedules.app_stopped(app_id)
            closing = [
                beside.host.close_function(record.function_id, grace_of(record) if grace_s is None else grace_s, why)
                for record in app.functions.values()
            ]
            quick = STOP_GRACE_S if grace_s is None else grace_s
            closing += [beside.host.close_function(function_id, quick, why) for function_id in leaving]
            closing.append(beside.pools.retire_all(app_id, quick))
            counts = await asyncio.gather(*closing)
            await beside.store.set_state(app_id, AppState.STOPPED, int(time.time() * 1000))
            # Until here it is listed as running, from here on as stopped: never as neither.
            self._register.remove(app)
        # No sandbox is made for it any more.
        counts.append(await beside.sandboxes.end_app(app_id, why))
        beside.on_stopped(app_id)
        await beside.objects.app_gone(app_id)
        left_over = await beside.node.left_over("wherry.app", app_id)
        return sum(counts), left_over

    async def client_gone(self, client_id: str) -> None:
        """Stop the ephemeral apps of a client that is gone; its detached ones end with their last call."""
        left = [app for app in self._register if app.record.client_id == client_id]
        for app in left:
            if app.record.state == AppState.DETACHED:
                app.orphaned = True
        for app_id in [app.record.app_id for app in left if app.record.state == AppState.EPHEMERAL]:
            await self.stop(app_id, "The client that ran its app is gone.")

    async def stop_finished(self) -> None:
        """Stop the detached apps whose client is gone and whose calls have all ended."""
        finished = [
            app.record.app_id
            for app in self._register
            if app.orphaned
            and not any(self._beside.host.is_working(function_id) for function_id in app.functions)
            and not self._beside.sandboxes.has_app(app.record.app_id)
        ]
        for app_id in finished:
            await self.stop(app_id, "Its last call has ended, and its client is gone.")

    async def stop_ephemeral(self, grace_s: float | None = None) -> int:
        """Stop all ephemeral apps; return how many containers they had."""
        ephemeral = [app.record.app_id for app in self._register if app.record.state == AppState.EPHEMERAL]
        stopped = await asyncio.gather(
            *(self.stop(app_id, "The service was stopped.", grace_s) for app_id in ephemeral)
        )
        return sum(count for count, _ in stopped)

    async def end_environment(self, environment: str) -> None:
        """Stop the apps of an environment that is deleted."""
        gone = [app.record.app_id for app in self._register if app.record.environment == environment]
        await asyncio.gather(*(self.stop(app_id, f"Its environment {environment!r} was deleted.") for app_id in gone))

    def let_go(self, app: App, record: FunctionRecord, grace_s: float) -> None:
        """Stop serving a function that the app has no more, when what it was asked is done or `grace_s` is over."""
        app.leaving.add(record.function_id)
        self._tasks.spawn(self._let_go(app, record, grace_s))

    async def _let_go(self, app: App, record: FunctionRecord, grace_s: float) -> None:
        function_id, host = record.function_id, self._beside.host
        deadline = asyncio.get_running_loop().time() + grace_s
        while function_id in app.leaving and host.is_working(function_id):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(LEAVING_EVERY_S)
        # Unless another version has it again.
        if function_id in app.leaving:
            await host.close_function(function_id, grace_of(record), f"{app} was deployed anew without it.")
            app.leaving.discard(function_id)

    async def close(self) -> None:
        """Leave functions that a version has no more to the next life of the service."""
        await self._tasks.close()
