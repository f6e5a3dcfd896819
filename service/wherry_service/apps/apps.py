"""Apps: opened by a client, published with their functions, stopped with or without it."""

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from wherry_proto import codec
from wherry_proto.messages import (
    AppInfo,
    AppState,
    FunctionBindRequest,
    FunctionInfo,
    FunctionSpec,
    FunctionUpdateRequest,
    MethodSpec,
)
from wherry_service.apps.endpoints import Endpoint, Endpoints, Site, endpoints_of
from wherry_service.apps.plans import ReadyImage, plan_of, retry_of
from wherry_service.apps.variants import bind_key, merged, normalized, scaled_as, variant_of
from wherry_service.calls.retry import RetryPolicy
from wherry_service.errors import Exhausted, InvalidRequest, NotFound, ServiceError
from wherry_service.ids import new_id
from wherry_service.node.node import FoundContainer, Node
from wherry_service.pools.pool import PoolPlan
from wherry_service.pools.pools import Pools
from wherry_service.schedules.schedules import Schedules
from wherry_service.schedules.ticks import check_scheduled
from wherry_service.store.apps import AppRecord, AppStore, FunctionRecord

log = logging.getLogger(__name__)

# Seconds that containers of a stopping app get to finish; its inputs were cancelled already.
STOP_GRACE_S = 5.0
# The same where exit hooks may run.
EXIT_HOOKS_GRACE_S = 30.0
MAX_VARIANTS = 1000


class FunctionHost(Protocol):
    """Who serves functions: the dispatcher."""

    def open_function(
        self, plan: PoolPlan, retry: RetryPolicy, app_id: str, client_id: str, found: Sequence[FoundContainer] = ()
    ) -> None: ...
    def replace_function(
        self, plan: PoolPlan, retry: RetryPolicy, app_id: str, client_id: str, grace_s: float
    ) -> None: ...
    async def close_function(self, function_id: str, grace_s: float, why: str) -> int: ...
    def is_working(self, function_id: str) -> bool: ...


class AppObjects(Protocol):
    """What apps have beside functions (see objects/)."""

    async def check_volumes(self, volume_ids: Sequence[str], environment: str) -> None: ...
    async def check_secrets(self, secret_ids: Sequence[str], environment: str) -> None: ...
    async def secret_values(self, secret_ids: Sequence[str]) -> Mapping[str, str]: ...
    async def app_gone(self, app_id: str) -> None: ...


class AppSandboxes(Protocol):
    """The sandboxes that belong to apps."""

    def has_app(self, app_id: str) -> bool: ...
    async def end_app(self, app_id: str, why: str) -> int: ...


class NoSandboxes:
    """Where there are none (implements `AppSandboxes`)."""

    def has_app(self, app_id: str) -> bool:
        return False

    async def end_app(self, app_id: str, why: str) -> int:
        return 0


class App:
    """A running app."""

    def __init__(self, record: AppRecord) -> None:
        self.record = record
        self.functions: dict[str, FunctionRecord] = {}
        # Whether it is detached and its client is gone: it ends with its last call.
        self.orphaned = False
        self.lock = asyncio.Lock()
        # Set once it is being stopped.
        self.stopping: asyncio.Task[tuple[int, list[str]]] | None = None

    def stop_ended(self, task: asyncio.Task[tuple[int, list[str]]]) -> None:
        """Let it be tried again where it failed."""
        if task.cancelled() or task.exception() is not None:
            self.stopping = None

    def __str__(self) -> str:
        return f"app {self.record.name!r} ({self.record.app_id})"


class Apps:
    """All running apps, in memory and on disk."""

    def __init__(
        self,
        store: AppStore,
        host: FunctionHost,
        pools: Pools,
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

    def __len__(self) -> int:
        return len(self._apps)

    def by_image(self) -> dict[str, list[str]]:
        """Return the images that running apps use, each with the apps' names."""
        found: dict[str, list[str]] = {}
        for app in self._apps.values():
            for function in app.functions.values():
                found.setdefault(function.spec.image_id, []).append(app.record.name)
        return found

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
            await self._mask_secrets(app, functions)
            for function in functions:
                try:
                    self._open(app, function, [item for item in found if item.function_id == function.function_id])
                except ServiceError as error:
                    log.warning("%s: function %r is not served: %s", app, function.name, error)
            self._endpoints.claim(record.app_id, self._claims(app, list(app.functions.values())))
            await self.schedule(app)
            clients.append(record.client_id)
        return clients

    async def _mask_secrets(self, app: App, functions: Sequence[FunctionRecord]) -> None:
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
            if pool is not None:
                pool.adopt(item)

    def unwanted(self, found: list[FoundContainer]) -> list[str]:
        """Return the ids of found containers whose function is no longer served."""
        return [item.container_id for item in found if self._pools.get(item.function_id) is None]

    async def open(self, name: str, environment: str, client_id: str, detach: bool) -> AppInfo:
        """Open an app that ends with its client, or, when detached, by `stop`."""
        if not name or len(name) > 64:
            raise InvalidRequest(f"an app's name has 1 to 64 characters, got {len(name)}")
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
        app = self._running(app_id)
        async with app.lock:
            names = [spec.name for spec in specs]
            if twice := {name for name in names if names.count(name) > 1}:
                raise InvalidRequest(f"{app} has two functions named {sorted(twice)[0]!r}: give one another name=")
            ids = {record.name: record.function_id for record in app.functions.values() if not record.base_id}
            records = [FunctionRecord(ids.get(spec.name) or new_id("fu"), app_id, spec.name, spec) for spec in specs]
            for record in records:
                self._plan(record)
                check_scheduled(record.spec)
                await self._check_objects(app, record.spec)
            claims = self._claims(app, records)
            self._endpoints.check(claims)
            if claims and self._web_ready is not None:
                await self._web_ready()
            records += self._followed(app, records)
            await self._store.publish(app_id, records)
            kept = {
                record.function_id
                for record in records
                if (known := app.functions.get(record.function_id)) is not None and known.spec == record.spec
            }
            old = {function_id: known for function_id, known in app.functions.items() if function_id not in kept}
            for function_id in old:
                del app.functions[function_id]
            for record in records:
                if record.function_id in old:
                    before = old.pop(record.function_id)
                    self._host.replace_function(
                        self._plan(record), retry_of(record.spec), app_id, app.record.client_id, _grace(before, None)
                    )
                    app.functions[record.function_id] = record
                elif record.function_id not in kept:
                    self._open(app, record)
                elif (known := app.functions[record.function_id]).live:
                    known.live = b""
                    self._scale(known)
            self._endpoints.claim(app_id, claims)
            why = f"{app} was published anew without it."
            closing = [self._host.close_function(key, _grace(known, None), why) for key, known in old.items()]
            await asyncio.gather(*closing)
            await self.schedule(app)
        return [self._function_info(app, record) for record in records if not record.base_id]

    async def bind(self, request: FunctionBindRequest) -> FunctionInfo:
        """Return the variant of a function that has these parameters and options; made when first asked for."""
        app, _ = self._find(request.function_id)
        key = bind_key(request)
        async with app.lock:
            # Published anew or stopped meanwhile, it may be another, or none.
            app, base = self._find(request.function_id)
            if base.base_id:
                raise InvalidRequest(f"function {base.function_id} is a variant itself: bind the one it was made of")
            if not key:
                return self._function_info(app, base)
            for record in app.functions.values():
                if record.base_id == base.function_id and record.key == key:
                    return self._function_info(app, record)
            if sum(1 for record in app.functions.values() if record.base_id) >= MAX_VARIANTS:
                raise Exhausted(f"{app} has {MAX_VARIANTS} variants of its functions: use fewer different parameters")
            spec, data = variant_of(base.spec, request), codec.serialize(normalized(request))
            record = FunctionRecord(new_id("fu"), base.app_id, base.name, spec, base.function_id, data, key)
            self._plan(record)
            await self._check_objects(app, spec)
            await self._store.add_variant(record)
            self._open(app, record)
        return self._function_info(app, record)

    async def update(self, request: FunctionUpdateRequest) -> FunctionInfo:
        """Change how a function scales, until its app is published anew."""
        app, _ = self._find(request.function_id)
        async with app.lock:
            app, record = self._find(request.function_id)
            changed = dataclasses.replace(record, live=merged(record.live, request))
            self._plan(changed)
            await self._store.set_live(changed)
            record.live = changed.live
            self._scale(record)
        return self._function_info(app, record)

    async def stop(
        self, app_id: str, why: str, grace_s: float | None = None, deadline_s: float | None = None
    ) -> tuple[int, list[str]]:
        """Stop an app; return how many containers it had, and the names of those that are still there.

        After the deadline this returns, and the stopping goes on.
        """
        app = self._running(app_id)
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
            if self._schedules is not None:
                await self._schedules.app_stopped(app_id)
            closing = [
                self._host.close_function(record.function_id, _grace(record, grace_s), why)
                for record in app.functions.values()
            ]
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
        return self._function_info(*self._find(function_id))

    def info(self, app_id: str) -> AppInfo:
        """Return a running app by id; raise `NotFound`."""
        return self._info(self._running(app_id).record)

    def ids(self) -> set[str]:
        """Return the ids of the running apps."""
        return set(self._apps)

    def secret_ids(self, app_id: str | None = None) -> set[str]:
        """Return the secrets that the functions of a running app use, or of all."""
        apps = self._apps.values() if app_id is None else [self._running(app_id)]
        return {one for app in apps for record in app.functions.values() for one in record.spec.secret_ids}

    def function_of(self, app_id: str, name: str) -> FunctionInfo:
        """Return a function of a running app by its name; raise `NotFound` listing near names."""
        app = self._running(app_id)
        for record in app.functions.values():
            if record.name == name and not record.base_id:
                return self._function_info(app, record)
        names = [record.name for record in app.functions.values() if not record.base_id]
        raise NotFound(f"app {app.record.name!r} has no function {name!r}{_near(name, names)}")

    def lookup(self, app_name: str, name: str, environment: str) -> FunctionInfo:
        """Return a function by the name of its app, the latest of that name; raise `NotFound` listing near names."""
        environment = environment or "main"
        apps = [a for a in self._apps.values() if a.record.environment == environment and a.record.name == app_name]
        if not apps:
            names = [a.record.name for a in self._apps.values() if a.record.environment == environment]
            raise NotFound(f"no app named {app_name!r} runs in environment {environment!r}{_near(app_name, names)}")
        return self.function_of(max(apps, key=lambda a: a.record.created_at_ms).record.app_id, name)

    def _claims(self, app: App, records: Sequence[FunctionRecord]) -> Sequence[Endpoint]:
        """Return where the app's functions are to answer; what is not deployed is told apart by its label."""
        record = app.record
        functions = [(known.function_id, known.spec) for known in records if not known.base_id]
        suffix = "" if record.state == AppState.DEPLOYED else "-dev"
        return endpoints_of(record.app_id, record.name, record.environment, functions, suffix)

    def _open(self, app: App, record: FunctionRecord, found: Sequence[FoundContainer] = ()) -> None:
        if record.base_id and not record.key:
            record.key = bind_key(codec.deserialize(FunctionBindRequest, record.bind))
        client_id = app.record.client_id
        self._host.open_function(self._plan(record), retry_of(record.spec), app.record.app_id, client_id, found)
        app.functions[record.function_id] = record

    def _plan(self, record: FunctionRecord) -> PoolPlan:
        spec = scaled_as(record.spec, record.live)
        values = self._objects.secret_values if self._objects is not None else None
        return plan_of(record.app_id, record.function_id, spec, self._ready_image, values)

    async def _check_objects(self, app: App, spec: FunctionSpec) -> None:
        if spec.secret_ids and self._objects is not None:
            await self._objects.check_secrets(spec.secret_ids, app.record.environment)
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
            pool.replan(self._plan(record))

    def _followed(self, app: App, bases: Sequence[FunctionRecord]) -> Sequence[FunctionRecord]:
        """Return the app's variants as they are of these functions; those that can't be any more go."""
        by_id = {base.function_id: base for base in bases}
        found = []
        for record in app.functions.values():
            base = by_id.get(record.base_id)
            if base is None or bool(base.spec.methods) != bool(record.spec.methods):
                continue
            try:
                spec = variant_of(base.spec, codec.deserialize(FunctionBindRequest, record.bind))
                variant = dataclasses.replace(record, name=base.name, spec=spec, live=b"")
                self._plan(variant)
            except InvalidRequest as error:
                log.warning("%s: a variant of %r ends with this version: %s", app, base.name, error)
                continue
            found.append(variant)
        return found

    def _find(self, function_id: str) -> tuple[App, FunctionRecord]:
        for app in self._apps.values():
            record = app.functions.get(function_id)
            if record is not None:
                return app, record
        raise NotFound(f"function {function_id[:64]} does not exist, or its app has stopped")

    def _running(self, app_id: str) -> App:
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
        )

    def _function_info(self, app: App, record: FunctionRecord) -> FunctionInfo:
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


def _grace(record: FunctionRecord, given: float | None) -> float:
    if given is not None:
        return given
    return EXIT_HOOKS_GRACE_S if record.spec.methods else STOP_GRACE_S


def _near(name: str, names: list[str]) -> str:
    import difflib  # only for this message

    near = difflib.get_close_matches(name, names, n=3)
    shown = near or sorted(set(names))[:5]
    return f"; did you mean {', '.join(repr(item) for item in shown)}?" if shown else ""
