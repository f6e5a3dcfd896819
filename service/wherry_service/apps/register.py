"""The running apps: found by id, by name and by their functions, and described."""

from collections.abc import Iterable, Iterator, Sequence

from wherry_proto.messages import AppInfo, AppState, FunctionInfo, FunctionSpec, MethodSpec
from wherry_service.apps.app import App
from wherry_service.apps.endpoints import Endpoints
from wherry_service.apps.plans import server_of
from wherry_service.apps.variants import scaled_as
from wherry_service.calls.call import Input
from wherry_service.errors import NotFound, near
from wherry_service.pools.pools import Pools
from wherry_service.store.apps import AppRecord, AppStore, FunctionRecord
from wherry_service.store.secrets import secrets_named


class AppRegister:
    """Owns the running apps in memory; whoever changes which functions they have says so here."""

    def __init__(self, store: AppStore, pools: Pools[Input], endpoints: Endpoints) -> None:
        self._store = store
        self._pools = pools
        self._endpoints = endpoints
        self._apps: dict[str, App] = {}
        # Whose each function is.
        self._owners: dict[str, App] = {}

    # Changing

    def add(self, app: App) -> None:
        """Know one more app, which has no functions yet."""
        self._apps[app.record.app_id] = app

    def remove(self, app: App) -> None:
        """Forget an app and its functions."""
        del self._apps[app.record.app_id]
        for function_id in app.functions:
            del self._owners[function_id]

    def put(self, app: App, record: FunctionRecord) -> None:
        """Give an app one more function, or another in the place of that of the same id."""
        app.functions[record.function_id] = record
        self._owners[record.function_id] = app

    def drop(self, app: App, function_id: str) -> None:
        """Have an app without one of its functions."""
        del app.functions[function_id]
        del self._owners[function_id]

    def replace(self, app: App, records: Iterable[FunctionRecord]) -> None:
        """Make these all the functions that an app has."""
        for function_id in app.functions:
            del self._owners[function_id]
        app.functions.clear()
        for record in records:
            self.put(app, record)

    # Finding

    def __len__(self) -> int:
        return len(self._apps)

    def __iter__(self) -> Iterator[App]:
        return iter(list(self._apps.values()))

    def is_running(self, app_id: str) -> bool:
        """Whether there is such an app, and it has not stopped."""
        return app_id in self._apps

    def running(self, app_id: str) -> App:
        """Return a running app by id; raise `NotFound`."""
        app = self._apps.get(app_id)
        if app is None:
            raise NotFound(f"app {app_id[:64]} does not exist or has stopped")
        return app

    def ids(self) -> set[str]:
        """Return the ids of the running apps."""
        return set(self._apps)

    def find(self, function_id: str) -> tuple[App, FunctionRecord]:
        """Return a function by id, with its app; raise `NotFound`."""
        app = self._owners.get(function_id)
        if app is None:
            raise NotFound(f"function {function_id[:64]} does not exist, or its app has stopped")
        return app, app.functions[function_id]

    def deployed(self, name: str, environment: str) -> App | None:
        """Return the deployed app of a name."""
        for app in self._apps.values():
            if (app.record.name, app.record.environment, app.record.state) == (name, environment, AppState.DEPLOYED):
                return app
        return None

    def named(self, app_name: str, environment: str) -> App:
        """Return the app of a name, a deployed one before others, the latest first; raise `NotFound`."""
        environment = environment or "main"
        apps = [a for a in self._apps.values() if a.record.environment == environment and a.record.name == app_name]
        if not apps:
            names = [a.record.name for a in self._apps.values() if a.record.environment == environment]
            hint = near(app_name, names)
            raise NotFound(f"no app named {app_name[:64]!r} runs in environment {environment[:64]!r}{hint}")
        return max(apps, key=lambda a: (a.record.state == AppState.DEPLOYED, a.record.created_at_ms))

    # What they use

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

    def secret_ids(self) -> set[str]:
        """Return the secrets that the functions of running apps use."""
        return {one for app in self._apps.values() for one in _secrets(app)}

    def secret_ids_of(self, app_id: str) -> set[str]:
        """Return the secrets that the functions of a running app use; raise `NotFound`."""
        return _secrets(self.running(app_id))

    def users_of_volume(self, volume_id: str) -> Sequence[str]:
        """Return the running functions that have a volume in their containers, each as "app.function"."""
        return [
            f"{app.record.name}.{record.name}"
            for app in self._apps.values()
            for record in app.functions.values()
            if any(mount.volume_id == volume_id for mount in (*record.spec.volumes, *record.spec.network_file_systems))
        ]

    @property
    def num_endpoints(self) -> int:
        """How many web endpoints there are."""
        return len(self._endpoints)

    def num_in(self, environment: str) -> int:
        """Return how many apps run in an environment."""
        return sum(1 for app in self._apps.values() if app.record.environment == environment)

    # Described

    async def list(self, environment: str, include_stopped: bool) -> list[AppInfo]:
        """List an environment's apps, the latest first."""
        environment = environment or "main"
        running = [app.record for app in self._apps.values() if app.record.environment == environment]
        running.sort(key=lambda record: record.created_at_ms, reverse=True)
        stopped = await self._store.stopped(environment) if include_stopped else []
        return [self._described(record) for record in [*running, *stopped]]

    def info(self, app_id: str) -> AppInfo:
        """Return a running app by id; raise `NotFound`."""
        return self._described(self.running(app_id).record)

    def _described(self, record: AppRecord) -> AppInfo:
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
            tags=dict(record.tags),
            num_functions=len(list(app.bases)) if app is not None else 0,
            url=_first_url(app, self._endpoints) if app is not None else "",
        )

    def function(self, function_id: str) -> FunctionInfo:
        """Return a function by id; raise `NotFound`."""
        return self.function_info(*self.find(function_id))

    def function_of(self, app_id: str, name: str) -> FunctionInfo:
        """Return a function of a running app by its name; raise `NotFound` listing near names."""
        app = self.running(app_id)
        for record in app.bases:
            if record.name == name:
                return self.function_info(app, record)
        names = [record.name for record in app.bases]
        raise NotFound(f"app {app.record.name!r} has no function {name[:64]!r}{near(name, names)}")

    def lookup(self, app_name: str, name: str, environment: str) -> FunctionInfo:
        """Return a function by the name of its app; raise `NotFound` listing near names."""
        return self.function_of(self.named(app_name, environment).record.app_id, name)

    def function_info(self, app: App, record: FunctionRecord) -> FunctionInfo:
        """Return what clients are told of a function."""
        return FunctionInfo(
            function_id=record.function_id,
            app_id=app.record.app_id,
            name=record.name,
            is_generator=record.spec.is_generator,
            app_name=app.record.name,
            environment=app.record.environment,
            methods=[self._method_info(record, method) for method in record.spec.methods],
            web_url=self._endpoints.url(record.function_id),
            pool=scaled_as(record.spec, record.live).pool if server_of(record.spec) is not None else None,
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


def _first_url(app: App, endpoints: Endpoints) -> str:
    for record in app.bases:
        for method in ("", *(method.name for method in record.spec.methods)):
            if url := endpoints.url(record.function_id, method):
                return url
    return ""


def _secrets(app: App) -> set[str]:
    return {one for record in app.functions.values() for one in secrets_named(record.spec)}
