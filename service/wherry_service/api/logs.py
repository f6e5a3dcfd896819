"""Logs: finds out what is meant, and streams the lines."""

from collections.abc import AsyncIterator, Callable

from wherry_proto.messages import LogLines, LogReadRequest
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import DEPLOY
from wherry_service.apps.register import AppRegister
from wherry_service.calls.call import Input
from wherry_service.errors import InvalidRequest, NotFound, near
from wherry_service.ids import check_id, time_of
from wherry_service.logs.query import Query
from wherry_service.logs.store import LogStore
from wherry_service.pools.pools import Pools
from wherry_service.store.apps import AppRecord, AppStore


class LogApi:
    """Serves what containers printed, also that of apps and containers that are gone."""

    def __init__(self, logs: LogStore, store: AppStore, apps: AppRegister, pools: Pools[Input]) -> None:
        self._logs = logs
        self._store = store
        self._apps = apps
        self._pools = pools

    @rpc("Logs.Read", DEPLOY, ("app_id", "app_name", "container_id"))
    async def read(self, request: LogReadRequest) -> AsyncIterator[LogLines]:
        if request.follow and request.until_ms:
            raise InvalidRequest("lines that are still to come can't be followed until a time: leave one of them out")
        query, is_over = await self._meant(request)
        chunks = self._logs.lines(
            query,
            after=request.after,
            tail=request.tail,
            only_new=request.only_new,
            is_over=is_over if request.follow else None,
        )
        async for chunk in chunks:
            yield LogLines(lines=chunk)

    async def _meant(self, request: LogReadRequest) -> tuple[Query, Callable[[], bool]]:
        """Return which lines are meant, and what says whether no more of them can come."""
        container_id = request.container_id and check_id(request.container_id, "co", "container id")
        call_id = request.call_id and check_id(request.call_id, "fc", "call id")
        app_id = await self._app_of(request, container_id)
        function_ids = await self._functions(app_id, request.function) if request.function else frozenset[str]()
        query = Query(
            app_id,
            container_id,
            function_ids,
            call_id,
            request.since_ms,
            request.until_ms,
            request.search,
            request.stream,
        )

        def is_over() -> bool:
            return not self._apps.is_running(app_id) or (bool(container_id) and not self._pool_of(container_id))

        return query, is_over

    async def _app_of(self, request: LogReadRequest, container_id: str) -> str:
        if request.app_id:
            app_id = check_id(request.app_id, "ap", "app id")
            if await self._store.get(app_id) is None:
                raise NotFound(f"there is no app {app_id}: `wherry app list --all` shows those there are")
            return app_id
        if request.app_name:
            return (await self._named(request.app_name, request.environment or "main")).app_id
        if not container_id:
            raise InvalidRequest("whose log? Name an app or a container")
        app_id = self._pool_of(container_id) or await self._logs.app_of(container_id, time_of(container_id))
        if not app_id:
            raise NotFound(
                f"no line of container {container_id} is kept: it printed nothing, or there is no such container, "
                "or its lines were dropped for newer ones"
            )
        return app_id

    def _pool_of(self, container_id: str) -> str:
        """Return the app of a container that is there; "" for none."""
        for pool in self._pools:
            if container_id in pool.containers:
                return pool.plan.load.app_id
        return ""

    async def _named(self, name: str, environment: str) -> AppRecord:
        found = await self._store.latest(name, environment)
        if found is None:
            names = await self._store.names(environment)
            where = f"environment {environment[:64]!r}"
            raise NotFound(f"no app named {name[:64]!r} was ever run in {where}{near(name, names)}")
        return found

    async def _functions(self, app_id: str, wanted: str) -> frozenset[str]:
        known = await self._store.functions_ever(app_id)
        found = frozenset(function_id for function_id, name in known if wanted in (function_id, name))
        if not found:
            names = sorted({name for _, name in known})
            raise NotFound(f"the app has no function {wanted[:64]!r}{near(wanted, names)}")
        return found
