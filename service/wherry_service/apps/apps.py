"""Apps: opened by a client, published with their functions, restored in the next life of the service."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from wherry_proto.messages import AppInfo, AppState, FunctionChangeKind, FunctionInfo, FunctionSpec
from wherry_service.apps.app import App, Beside, grace_of
from wherry_service.apps.binding import Binding
from wherry_service.apps.change import Change, change_of, followed
from wherry_service.apps.ending import AppEnding
from wherry_service.apps.failed import check_failure_handlers
from wherry_service.apps.plans import retry_of
from wherry_service.apps.register import AppRegister
from wherry_service.apps.room import expect_room
from wherry_service.apps.serving import Serving, belongs
from wherry_service.calls.call import Input
from wherry_service.errors import InvalidRequest, ServiceError
from wherry_service.ids import new_id
from wherry_service.node.node import FoundContainer
from wherry_service.pools.pool import Pool
from wherry_service.sandboxes.orders import check_tags
from wherry_service.schedules.ticks import check_scheduled
from wherry_service.store.apps import AppRecord, FunctionRecord

log = logging.getLogger(__name__)


class Apps:
    """All running apps, in memory and on disk; what is read, bound and ended of them is its three collaborators'."""

    def __init__(self, beside: Beside) -> None:
        self._beside = beside
        self._store = beside.store
        self.register = AppRegister(beside.store, beside.pools, beside.endpoints)
        self.serving = Serving(beside, self.register)
        self.binding = Binding(beside, self.register, self.serving)
        self.ending = AppEnding(beside, self.register)

    # An earlier life

    async def restore(self, found: list[FoundContainer]) -> list[str]:
        """Serve again what an earlier life served; return the ids of the clients whose apps these are.

        Found containers go to their pools first, so that none is started in the place of one that is there.
        """
        clients: list[str] = []
        for record, functions in await self._store.running():
            app = App(record)
            self.register.add(app)
            await self.serving.mask_secrets(app, functions)
            for function in functions:
                try:
                    self.serving.open(app, function, found)
                except ServiceError as error:
                    log.warning("%s: function %r is not served: %s", app, function.name, error)
            self._claim(app)
            await self.serving.schedule(app)
            if record.client_id:
                clients.append(record.client_id)
        return clients

    def adopt(self, found: list[FoundContainer]) -> None:
        """Give containers that were found late to the pools they belong to."""
        for item in found:
            pool = self._beside.pools.get(item.function_id)
            if pool is not None and belongs(item, pool.plan):
                pool.adopt(item)

    def unwanted(self, found: list[FoundContainer]) -> list[str]:
        """Return the ids of found containers whose function is no longer served, or is another version."""
        pools = {item.function_id: self._beside.pools.get(item.function_id) for item in found}
        return [
            item.container_id
            for item in found
            if (pool := pools[item.function_id]) is None or not belongs(item, pool.plan)
        ]

    # Opened and published

    async def open(self, name: str, environment: str, client_id: str, detach: bool, deploy: bool = False) -> AppInfo:
        """Open an app that ends with its client, or, when detached, by `stop`.

        To deploy, the deployed app of that name if there is one.
        """
        if not name or len(name) > 64:
            raise InvalidRequest(f"an app's name has 1 to 64 characters, got {len(name)}")
        if deploy and (deployed := self.register.deployed(name, environment or "main")) is not None:
            return self.register.info(deployed.record.app_id)
        record = AppRecord(
            app_id=new_id("ap"),
            name=name,
            environment=environment or "main",
            state=AppState.DETACHED if detach else AppState.EPHEMERAL,
            client_id=client_id,
            created_at_ms=int(time.time() * 1000),
        )
        await self._store.add(record)
        self.register.add(App(record))
        return self.register.info(record.app_id)

    async def publish(self, app_id: str, specs: list[FunctionSpec]) -> list[FunctionInfo]:
        """Make these the functions of the app, all or none; ids are kept by name."""
        app = self.register.running(app_id)
        async with app.lock:
            if app.record.state == AppState.DEPLOYED:
                raise InvalidRequest(f"{app} is deployed: deploy its next version with `wherry deploy`")
            change = await self.change(app, specs)
            expect_room(str(app), change, self.serving.plan, self._beside.pools)
            await self._store.publish(app_id, list(change.records))
            self.take(app, change, {}, grace_of)
            why = f"{app} was published anew without it."
            host = self._beside.host
            await asyncio.gather(*(host.close_function(one.function_id, grace_of(one), why) for one in change.removed))
        return [self.register.function_info(app, record) for record in change.bases]

    async def set_tags(self, app_id: str, tags: Mapping[str, str]) -> AppInfo:
        """Replace the tags of a running app."""
        check_tags(tags, "an app")
        app = self.register.running(app_id)
        async with app.lock:
            app = self.register.running(app_id)
            await self._store.set_tags(app_id, dict(tags))
            app.record.tags = dict(tags)
        return self.register.info(app_id)

    # Other functions for an app

    async def change(
        self,
        app: App,
        specs: Sequence[FunctionSpec],
        deploys: bool = False,
        ids: Mapping[str, str] | None = None,
        dry_run: bool = False,
        fresh: bool = False,
    ) -> Change:
        """Return what these functions would change; raise what says why they can't be the app's.

        They keep the ids of functions of the same names, or get those that `ids` has by name. Of a dry run, what they
        use need not be there yet. `fresh`: all get new containers, also those that are as they were.
        """
        names = [spec.name for spec in specs]
        if twice := {name for name in names if names.count(name) > 1}:
            raise InvalidRequest(f"{app} has two functions named {sorted(twice)[0]!r}: give one another name=")
        check_failure_handlers(specs)
        known = {**(ids or {}), **{record.name: record.function_id for record in app.bases}}
        app_id, plan = app.record.app_id, self.serving.plan
        bases = [FunctionRecord(known.get(spec.name) or new_id("fu"), app_id, spec.name, spec) for spec in specs]
        for record in bases:
            plan(record)
            check_scheduled(record.spec)
            if not dry_run:
                await self.serving.check_objects(app, record.spec)
        claims = self.serving.claims(app, bases, deploys)
        self._beside.endpoints.check(claims)
        if claims and not dry_run:
            await self._beside.web_ready()
        return change_of(app.functions, bases, followed(app, bases, plan), claims, fresh)

    def take(
        self, app: App, change: Change, warm: Mapping[str, Pool[Input]], grace_s: Callable[[FunctionRecord], float]
    ) -> None:
        """Serve the functions of a change, by their pools that are warm already; close none of those that are removed.

        What runs in containers that go gets as long as `grace_s` says. It was written before.
        """
        host, app_id, client_id = self._beside.host, app.record.app_id, app.record.client_id
        known = dict(app.functions)
        self.register.replace(app, change.records)
        for record in change.records:
            function_id, kind = record.function_id, change.kinds.get(record.function_id)
            before = known.get(function_id)
            retry = retry_of(record.spec)
            if kind == FunctionChangeKind.TUNED:
                host.tune_function(self.serving.plan(record), retry)
            elif kind is not None and function_id in warm:
                grace = grace_s(before) if before is not None else 0.0
                host.switch_function(warm[function_id], retry, app_id, client_id, grace)
            elif before is not None and kind is not None:
                host.replace_function(self.serving.plan(record), retry, app_id, client_id, grace_s(before))
            elif kind is not None:
                self.serving.open(app, record)
            app.leaving.discard(function_id)
        self._beside.endpoints.claim(app_id, change.claims)

    # For environments

    async def num_in(self, environment: str) -> int:
        """Return how many apps run in an environment."""
        return self.register.num_in(environment)

    async def end_environment(self, environment: str) -> None:
        """Stop the apps of an environment that is deleted."""
        await self.ending.end_environment(environment)

    def environment_renamed(self, name: str, new_name: str) -> None:
        """Hear that an environment is called otherwise now: it is part of URLs."""
        for app in self.register:
            if app.record.environment == name:
                app.record.environment = new_name
                self._claim(app)

    def _claim(self, app: App) -> None:
        claims = self.serving.claims(app, list(app.functions.values()))
        self._beside.endpoints.claim(app.record.app_id, claims)
