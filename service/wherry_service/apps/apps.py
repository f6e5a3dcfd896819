"""Apps: opened by a client, published with their functions, stopped with or without it."""

import asyncio
import copy
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from wherry_proto import codec
from wherry_proto.messages import (
    AppInfo,
    AppState,
    FunctionBindRequest,
    FunctionChangeKind,
    FunctionInfo,
    FunctionSpec,
    FunctionUpdateRequest,
    MethodSpec,
    PoolSettings,
)
from wherry_service.apps.app import (
    STOP_GRACE_S,
    App,
    AppObjects,
    AppSandboxes,
    FunctionHost,
    NoSandboxes,
    grace_of,
    near,
)
from wherry_service.apps.change import Change, change_of, followed
from wherry_service.apps.endpoints import Endpoint, Endpoints, Site, endpoints_of
from wherry_service.apps.plans import ReadyImage, plan_of, retry_of
from wherry_service.apps.room import expect_room
from wherry_service.apps.variants import bind_key, merged, normalized, scaled_as, variant_of
from wherry_service.calls.call import Input
from wherry_service.errors import Exhausted, InvalidRequest, NotFound, ServiceError
from wherry_service.ids import new_id
from wherry_service.node.node import FoundContainer, Node
from wherry_service.pools.plan import PoolPlan
from wherry_service.pools.pool import Pool
from wherry_service.pools.pools import Pools
from wherry_service.schedules.schedules import Schedules
from wherry_service.schedules.ticks import check_scheduled
from wherry_service.store.apps import AppRecord, AppStore, FunctionRecord
from wherry_service.store.secrets import secrets_named
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)

MAX_VARIANTS = 1000
# Seconds beyond its timeout that an input may take to end.
END_GRACE_S = 10.0
LEAVING_EVERY_S = 0.25


class Apps:
    """All running apps, in memory and on disk."""

    def __init__(
        self,
        store: AppStore,
        host: FunctionHost,
        pools: Pools[Input],
        node: Node,
        ready_image: ReadyImage,
        objects: AppObjects | None = None,
        on_stopped: Callable[[str], None] = lambda app_id: None,
        mask: Callable[[str, Iterable[str]], None] = lambda app_id, values: None,
        sandboxes: AppSandboxes | None = None,
        endpoints: Endpoints | None = None,
        web_ready: Callable[[], Awaitable[None]] | None = None,
        schedules: Schedules | None = None,
    ) -> None:
        self._store = store
        self._objects = objects
        self._host = host
        self._pools = pools
        self._node = node
        self._ready_image = ready_image
        # Hears the id of an app whose containers are gone.
        self._on_stopped = on_stopped
        # Hears what must not appear in an app's log.
        self._mask = mask
        self._sandboxes = sandboxes if sandboxes is not None else NoSandboxes()
        self._endpoints = endpoints if endpoints is not None else Endpoints(Site())
        # Begins to listen for requests.
        self._web_ready = web_ready
        self._schedules = schedules
        self._apps: dict[str, App] = {}
        self._tasks = Tasks("a function that its app has no more could not be stopped")

    def __len__(self) -> int:
        return len(self._apps)

    def by_image(self) -> dict[str, list[str]]:
        """Return the images that running apps use, each with the apps' names."""
        found: dict[str, list[str]] = {}
        for app in self._apps.values():
            for function in app.functions.values():
                found.setdefault(function.spec.image_id, []).append(app.record.name)
        return found

    def specs(self) -> list[FunctionSpec]:
        """Return the functions of running apps."""
        return [function.spec for app in self._apps.values() for function in app.functions.values()]

    def specs_of(self, app_id: str) -> list[FunctionSpec]:
        """Return the functions of a running app; raise `NotFound`."""
        return [function.spec for function in self.running(app_id).functions.values()]

    @property
    def num_endpoints(self) -> int:
        """How many web endpoints there are."""
        return len(self._endpoints)

    async def restore(self, found: list[FoundContainer]) -> list[str]:
        """Serve again what an earlier life served; return the ids of the clients whose apps these are.

        Found containers go to their pools first, so that none is started in the place of one that is there.
        """
        clients: list[str] = []
        for record, functions in await self._store.running():
            app = self._apps[record.app_id] = App(record)
            await self.mask_secrets(app, functions)
            for function in functions:
                try:
                    self._open(app, function, found)
                except ServiceError as error:
                    log.warning("%s: function %r is not served: %s", app, function.name, error)
            self._endpoints.claim(record.app_id, self._claims(app, list(app.functions.values())))
            await self.schedule(app)
            if record.client_id:
                clients.append(record.client_id)
        return clients

    async def mask_secrets(self, app: App, functions: Sequence[FunctionRecord]) -> None:
        """Have what containers of an earlier life were given masked before a line of theirs arrives."""
        if self._objects is None:
            return
        for secret_id in {one for function in functions for one in function.spec.secret_ids}:
            try:
                values = await self._objects.secret_values([secret_id])
            except ServiceError as error:
                log.warning("%s: %s", app, error)
            else:
                self._mask(app.record.app_id, values.values())

    def adopt(self, found: list[FoundContainer]) -> None:
        """Give containers that were found late to the pools they belong to."""
        for item in found:
            pool = self._pools.get(item.function_id)
            if pool is not None and _belongs(item, pool.plan):
                pool.adopt(item)

    def unwanted(self, found: list[FoundContainer]) -> list[str]:
        """Return the ids of found containers whose function is no longer served, or is another version."""
        pools = {item.function_id: self._pools.get(item.function_id) for item in found}
        return [
            item.container_id
            for item in found
            if (pool := pools[item.function_id]) is None or not _belongs(item, pool.plan)
        ]

    async def open(self, name: str, environment: str, client_id: str, detach: bool, deploy: bool = False) -> AppInfo:
        """Open an app that ends with its client, or, when detached, by `stop`.

        To deploy, the deployed app of that name if there is one.
        """
        if not name or len(name) > 64:
            raise InvalidRequest(f"an app's name has 1 to 64 characters, got {len(name)}")
        if deploy and (deployed := self.deployed(name, environment or "main")) is not None:
            return self._info(deployed.record)
        record = AppRecord(
            app_id=new_id("ap"),
            name=name,
            environment=environment or "main",
            state=AppState.DETACHED if detach else AppState.EPHEMERAL,
            client_id=client_id,
            created_at_ms=int(time.time() * 1000),
        )
        await self._store.add(record)
        self._apps[record.app_id] = App(record)
        return self._info(self._apps[record.app_id].record)

    async def publish(self, app_id: str, specs: list[FunctionSpec]) -> list[FunctionInfo]:
        """Make these the functions of the app, all or none; ids are kept by name."""
        app = self.running(app_id)
        async with app.lock:
            if app.record.state == AppState.DEPLOYED:
                raise InvalidRequest(f"{app} is deployed: deploy its next version with `wherry deploy`")
            change = await self.change(app, specs)
            expect_room(str(app), change, self.plan, self._pools)
            await self._store.publish(app_id, list(change.records))
            self.take(app, change, {}, grace_of)
            why = f"{app} was published anew without it."
            closing = [self._host.close_function(one.function_id, grace_of(one), why) for one in change.removed]
            await asyncio.gather(*closing)
        return [self.function_info(app, record) for record in change.bases]

    async def add_version(self, app: App, function_id: str, spec: FunctionSpec, version: int) -> FunctionInfo:
        """Serve a function as it was in a version of its app, too; of it no container is kept running."""
        spec = copy.copy(spec)
        spec.schedule, spec.web = None, None
        spec.pool = copy.copy(spec.pool or PoolSettings())
        spec.pool.min_containers = spec.pool.buffer_containers = 0
        record = FunctionRecord(new_id("fu"), app.record.app_id, spec.name, spec, function_id, version=version)
        self.plan(record)
        await self._check_objects(app, spec)
        await self._store.add_variant(record)
        await self.mask_secrets(app, [record])
        self._open(app, record)
        return self.function_info(app, record)

    # Other functions for an app

    async def change(
        self,
        app: App,
        specs: Sequence[FunctionSpec],
        deploys: bool = False,
        ids: Mapping[str, str] | None = None,
        dry_run: bool = False,
    ) -> Change:
        """Return what these functions would change; raise what says why they can't be the app's.

        They keep the ids of functions of the same names, or get those that `ids` has by name. Of a dry run, what they
        use need not be there yet.
        """
        names = [spec.name for spec in specs]
        if twice := {name for name in names if names.count(name) > 1}:
            raise InvalidRequest(f"{app} has two functions named {sorted(twice)[0]!r}: give one another name=")
        known = {**(ids or {}), **{record.name: record.function_id for record in app.bases}}
        app_id = app.record.app_id
        bases = [FunctionRecord(known.get(spec.name) or new_id("fu"), app_id, spec.name, spec) for spec in specs]
        for record in bases:
            self.plan(record)
            check_scheduled(record.spec)
            if not dry_run:
                await self._check_objects(app, record.spec)
        claims = self._claims(app, bases, deploys)
        self._endpoints.check(claims)
        if claims and self._web_ready is not None and not dry_run:
            await self._web_ready()
        return change_of(app.functions, bases, followed(app, bases, self.plan), claims)

    def take(
        self, app: App, change: Change, warm: Mapping[str, Pool[Input]], grace_s: Callable[[FunctionRecord], float]
    ) -> None:
        """Serve the functions of a change, by their pools that are warm already; close none of those that are removed.

        What runs in containers that go gets as long as `grace_s` says. It was written before.
        """
        app_id, client_id = app.record.app_id, app.record.client_id
        known = dict(app.functions)
        app.functions.clear()
        for record in change.records:
            function_id, kind = record.function_id, change.kinds.get(record.function_id)
            before = known.get(function_id)
            app.functions[function_id] = record
            retry = retry_of(record.spec)
            if kind == FunctionChangeKind.TUNED:
                self._host.tune_function(self.plan(record), retry)
            elif kind is not None and function_id in warm:
                grace = grace_s(before) if before is not None else 0.0
                self._host.switch_function(warm[function_id], retry, app_id, client_id, grace)
            elif before is not None and kind is not None:
                self._host.replace_function(self.plan(record), retry, app_id, client_id, grace_s(before))
            elif kind is not None:
                self._open(app, record)
            app.leaving.discard(function_id)
        self._endpoints.claim(app_id, change.claims)

    def let_go(self, app: App, record: FunctionRecord, grace_s: float) -> None:
        """Stop serving a function that the app has no more, when what it was asked is done or `grace_s` is over."""
        app.leaving.add(record.function_id)
        self._tasks.spawn(self._let_go(app, record, grace_s))

    async def _let_go(self, app: App, record: FunctionRecord, grace_s: float) -> None:
        function_id = record.function_id
        deadline = asyncio.get_running_loop().time() + grace_s
        while function_id in app.leaving and self._host.is_working(function_id):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(LEAVING_EVERY_S)
        # Unless another version has it again.
        if function_id in app.leaving:
            await self._host.close_function(function_id, grace_of(record), f"{app} was deployed anew without it.")
            app.leaving.discard(function_id)

    async def bind(self, request: FunctionBindRequest) -> FunctionInfo:
        """Return the variant of a function that has these parameters and options; made when first asked for."""
        app, _ = self._find(request.function_id)
        key = bind_key(request)
        async with app.lock:
            # Published anew or stopped meanwhile, it may be another, or none.
            app, base = self._find(request.function_id)
            if base.base_id and not base.version:
                raise InvalidRequest(f"function {base.function_id} is a variant itself: bind the one it was made of")
            if not key:
                return self.function_info(app, base)
            for record in app.functions.values():
                if record.base_id == base.function_id and record.key == key:
                    return self.function_info(app, record)
            if sum(1 for record in app.functions.values() if record.base_id) >= MAX_VARIANTS:
                raise Exhausted(f"{app} has {MAX_VARIANTS} variants of its functions: use fewer different parameters")
            spec, data = variant_of(base.spec, request), codec.serialize(normalized(request))
            record = FunctionRecord(new_id("fu"), base.app_id, base.name, spec, base.function_id, data, key)
            self.plan(record)
            await self._check_objects(app, spec)
            await self._store.add_variant(record)
            self._open(app, record)
        return self.function_info(app, record)

    async def update(self, request: FunctionUpdateRequest) -> FunctionInfo:
        """Change how a function scales, until its app is published anew."""
        app, _ = self._find(request.function_id)
        async with app.lock:
            app, record = self._find(request.function_id)
            changed = dataclasses.replace(record, live=merged(record.live, request))
            self.plan(changed)
            await self._store.set_live(changed)
            record.live = changed.live
            self._scale(record)
        return self.function_info(app, record)

    async def stop(
        self, app_id: str, why: str, grace_s: float | None = None, deadline_s: float | None = None
    ) -> tuple[int, list[str]]:
        """Stop an app; return how many containers it had, and the names of those that are still there.

        After the deadline this returns, and the stopping goes on.
        """
        app = self.running(app_id)
        count = self._info(app.record).num_containers
        if app.stopping is None:
            app.stopping = asyncio.ensure_future(self._stop(app, why, grace_s))
            app.stopping.add_done_callback(app.stop_ended)
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.shield(app.stopping)
        except TimeoutError:
            if deadline_s is None:
                raise
            left_over = self._node.known("wherry.app", app_id)
            log.warning("%s has not stopped within %g s: %s", app, deadline_s, ", ".join(left_over) or "no container")
            return count - len(left_over), left_over

    async def _stop(self, app: App, why: str, grace_s: float | None) -> tuple[int, list[str]]:
        app_id = app.record.app_id
        async with app.lock:
            if self._apps.get(app_id) is not app:
                return 0, []
            log.info("stopping %s: %s", app, why)
            self._endpoints.claim(app_id, [])
            leaving, app.leaving = app.leaving, set()
            if self._schedules is not None:
                await self._schedules.app_stopped(app_id)
            closing = [
                self._host.close_function(record.function_id, grace_of(record) if grace_s is None else grace_s, why)
                for record in app.functions.values()
            ]
            quick = STOP_GRACE_S if grace_s is None else grace_s
            closing += [self._host.close_function(function_id, quick, why) for function_id in leaving]
            closing.append(self._pools.retire_all(app_id, quick))
            counts = await asyncio.gather(*closing)
            await self._store.set_state(app_id, AppState.STOPPED, int(time.time() * 1000))
            # Until here it is listed as running, from here on as stopped: never as neither.
            del self._apps[app_id]
        # No sandbox is made for it any more.
        counts.append(await self._sandboxes.end_app(app_id, why))
        self._on_stopped(app_id)
        if self._objects is not None:
            await self._objects.app_gone(app_id)
        left_over = await self._node.left_over("wherry.app", app_id)
        return sum(counts), left_over

    async def client_gone(self, client_id: str) -> None:
        """Stop the ephemeral apps of a client that is gone; its detached ones end with their last call."""
        for app in self._apps.values():
            if app.record.client_id == client_id and app.record.state == AppState.DETACHED:
                app.orphaned = True
        gone = [
            app.record.app_id
            for app in self._apps.values()
            if app.record.client_id == client_id and app.record.state == AppState.EPHEMERAL
        ]
        for app_id in gone:
            await self.stop(app_id, "The client that ran its app is gone.")

    async def stop_finished(self) -> None:
        """Stop the detached apps whose client is gone and whose calls have all ended."""
        finished = [
            app_id
            for app_id, app in self._apps.items()
            if app.orphaned
            and not any(self._host.is_working(function_id) for function_id in app.functions)
            and not self._sandboxes.has_app(app_id)
        ]
        for app_id in finished:
            await self.stop(app_id, "Its last call has ended, and its client is gone.")

    async def stop_ephemeral(self, grace_s: float | None = None) -> int:
        """Stop all ephemeral apps; return how many containers they had."""
        ephemeral = [app_id for app_id, app in self._apps.items() if app.record.state == AppState.EPHEMERAL]
        stopped = await asyncio.gather(
            *(self.stop(app_id, "The service was stopped.", grace_s) for app_id in ephemeral)
        )
        return sum(count for count, _ in stopped)

    async def list(self, environment: str, include_stopped: bool) -> list[AppInfo]:
        """List an environment's apps, the latest first."""
        environment = environment or "main"
        running = [app.record for app in self._apps.values() if app.record.environment == environment]
        running.sort(key=lambda record: record.created_at_ms, reverse=True)
        stopped = await self._store.stopped(environment) if include_stopped else []
        return [self._info(record) for record in [*running, *stopped]]

    def is_running(self, app_id: str) -> bool:
        """Whether there is such an app, and it has not stopped."""
        return app_id in self._apps

    def function(self, function_id: str) -> FunctionInfo:
        """Return a function by id; raise `NotFound`."""
        return self.function_info(*self._find(function_id))

    def info(self, app_id: str) -> AppInfo:
        """Return a running app by id; raise `NotFound`."""
        return self._info(self.running(app_id).record)

    async def close(self) -> None:
        """Leave functions that a version has no more to the next life of the service."""
        await self._tasks.close()

    def ids(self) -> set[str]:
        """Return the ids of the running apps."""
        return set(self._apps)

    def secret_ids(self, app_id: str | None = None) -> set[str]:
        """Return the secrets that the functions of a running app use, or of all."""
        apps = self._apps.values() if app_id is None else [self.running(app_id)]
        return {one for app in apps for record in app.functions.values() for one in secrets_named(record.spec)}

    def function_of(self, app_id: str, name: str) -> FunctionInfo:
        """Return a function of a running app by its name; raise `NotFound` listing near names."""
        app = self.running(app_id)
        for record in app.bases:
            if record.name == name:
                return self.function_info(app, record)
        names = [record.name for record in app.bases]
        raise NotFound(f"app {app.record.name!r} has no function {name!r}{near(name, names)}")

    def deployed(self, name: str, environment: str) -> App | None:
        """Return the deployed app of a name."""
        for app in self._apps.values():
            if (app.record.name, app.record.environment, app.record.state) == (name, environment, AppState.DEPLOYED):
                return app
        return None

    def lookup(self, app_name: str, name: str, environment: str) -> FunctionInfo:
        """Return a function by the name of its app; raise `NotFound` listing near names."""
        return self.function_of(self.named(app_name, environment).record.app_id, name)

    def named(self, app_name: str, environment: str) -> App:
        """Return the app of a name, a deployed one before others, the latest first; raise `NotFound`."""
        environment = environment or "main"
        apps = [a for a in self._apps.values() if a.record.environment == environment and a.record.name == app_name]
        if not apps:
            names = [a.record.name for a in self._apps.values() if a.record.environment == environment]
            raise NotFound(f"no app named {app_name!r} runs in environment {environment!r}{near(app_name, names)}")
        return max(apps, key=lambda a: (a.record.state == AppState.DEPLOYED, a.record.created_at_ms))

    def _claims(self, app: App, records: Sequence[FunctionRecord], deploys: bool = False) -> Sequence[Endpoint]:
        """Return where the app's functions are to answer; what is not deployed is told apart by its label."""
        record = app.record
        functions = [(known.function_id, known.spec) for known in records if not known.base_id]
        suffix = "" if deploys or record.state == AppState.DEPLOYED else "-dev"
        return endpoints_of(record.app_id, record.name, record.environment, functions, suffix)

    def _open(self, app: App, record: FunctionRecord, found: Sequence[FoundContainer] = ()) -> None:
        if record.bind and not record.key:
            record.key = bind_key(codec.deserialize(FunctionBindRequest, record.bind))
        plan, client_id = self.plan(record), app.record.client_id
        mine = [item for item in found if _belongs(item, plan)]
        self._host.open_function(plan, retry_of(record.spec), app.record.app_id, client_id, mine)
        app.functions[record.function_id] = record

    def plan(self, record: FunctionRecord, import_only: bool = False) -> PoolPlan:
        spec = scaled_as(record.spec, record.live)
        values = self._objects.secret_values if self._objects is not None else None
        return plan_of(record.app_id, record.function_id, spec, self._ready_image, values, import_only)

    async def _check_objects(self, app: App, spec: FunctionSpec) -> None:
        if (named := secrets_named(spec)) and self._objects is not None:
            await self._objects.check_secrets(named, app.record.environment)
        mounts = [*spec.volumes, *spec.network_file_systems]
        if mounts and self._objects is not None:
            await self._objects.check_volumes([mount.volume_id for mount in mounts], app.record.environment)

    async def schedule(self, app: App) -> None:
        """Have a deployed app's functions run by the clock as they are now; those of others only run when called.

        To be called whenever the functions of an app have become other ones.
        """
        if self._schedules is not None and app.record.state == AppState.DEPLOYED:
            bases = [(known.function_id, known.spec) for known in app.functions.values() if not known.base_id]
            await self._schedules.app_started(app.record.app_id, bases)

    # For environments

    async def num_in(self, environment: str) -> int:
        """Return how many apps run in an environment."""
        return sum(1 for app in self._apps.values() if app.record.environment == environment)

    async def end_environment(self, environment: str) -> None:
        """Stop the apps of an environment that is deleted."""
        gone = [app_id for app_id, app in self._apps.items() if app.record.environment == environment]
        await asyncio.gather(*(self.stop(app_id, f"Its environment {environment!r} was deleted.") for app_id in gone))

    def environment_renamed(self, name: str, new_name: str) -> None:
        """Hear that an environment is called otherwise now: it is part of URLs."""
        for app in self._apps.values():
            if app.record.environment == name:
                app.record.environment = new_name
                self._endpoints.claim(app.record.app_id, self._claims(app, list(app.functions.values())))

    def users_of_volume(self, volume_id: str) -> Sequence[str]:
        """Return the running functions that have a volume in their containers, each as "app.function"."""
        return [
            f"{app.record.name}.{record.name}"
            for app in self._apps.values()
            for record in app.functions.values()
            if any(mount.volume_id == volume_id for mount in (*record.spec.volumes, *record.spec.network_file_systems))
        ]

    def _scale(self, record: FunctionRecord) -> None:
        pool = self._pools.get(record.function_id)
        if pool is not None:
            pool.replan(self.plan(record))

    def _find(self, function_id: str) -> tuple[App, FunctionRecord]:
        for app in self._apps.values():
            record = app.functions.get(function_id)
            if record is not None:
                return app, record
        raise NotFound(f"function {function_id[:64]} does not exist, or its app has stopped")

    def running(self, app_id: str) -> App:
        app = self._apps.get(app_id)
        if app is None:
            raise NotFound(f"app {app_id[:64]} does not exist or has stopped")
        return app

    def _info(self, record: AppRecord) -> AppInfo:
        app = self._apps.get(record.app_id)
        pools = [self._pools.get(function_id) for function_id in app.functions] if app is not None else []
        return AppInfo(
            app_id=record.app_id,
            name=record.name,
            environment=record.environment,
            state=record.state,
            created_at_ms=record.created_at_ms,
            stopped_at_ms=record.stopped_at_ms,
            num_containers=sum(len(pool.containers) for pool in pools if pool is not None),
            version=app.deployment.version if app is not None and app.deployment is not None else 0,
        )

    def function_info(self, app: App, record: FunctionRecord) -> FunctionInfo:
        return FunctionInfo(
            function_id=record.function_id,
            app_id=app.record.app_id,
            name=record.name,
            is_generator=record.spec.is_generator,
            app_name=app.record.name,
            environment=app.record.environment,
            methods=[self._method_info(record, method) for method in record.spec.methods],
            web_url=self._endpoints.url(record.function_id),
        )

    def _method_info(self, record: FunctionRecord, method: MethodSpec) -> MethodSpec:
        url = self._endpoints.url(record.function_id, method.name)
        if not url:
            return method
        return MethodSpec(
            name=method.name,
            is_generator=method.is_generator,
            is_async=method.is_async,
            web=method.web,
            web_url=url,
        )


def _belongs(found: FoundContainer, plan: PoolPlan) -> bool:
    """Whether a container of an earlier life runs what the function is now."""
    return found.function_id == plan.function_id and found.revision == plan.load.revision
