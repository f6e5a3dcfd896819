"""How functions of apps come to be served: planned, checked, opened, and run by the clock."""

import logging
from collections.abc import Sequence

from wherry_proto import codec
from wherry_proto.messages import AppState, FunctionBindRequest, FunctionSpec
from wherry_service.apps.app import App, Beside
from wherry_service.apps.endpoints import Endpoint, endpoints_of
from wherry_service.apps.plans import plan_of, retry_of
from wherry_service.apps.register import AppRegister
from wherry_service.apps.variants import bind_key, scaled_as
from wherry_service.errors import ServiceError
from wherry_service.node.node import FoundContainer
from wherry_service.pools.plan import PoolPlan
from wherry_service.store.apps import FunctionRecord
from wherry_service.store.secrets import secrets_named

log = logging.getLogger(__name__)


class Serving:
    """Has single functions of apps served."""

    def __init__(self, beside: Beside, register: AppRegister) -> None:
        self._beside = beside
        self._register = register

    def plan(self, record: FunctionRecord, import_only: bool = False) -> PoolPlan:
        """Return how a function's containers are made; raise `InvalidRequest` where they can't be."""
        spec = scaled_as(record.spec, record.live)
        beside = self._beside
        return plan_of(
            record.app_id,
            record.function_id,
            spec,
            beside.ready_image,
            beside.objects.secret_values,
            lambda: self._names(record.app_id),
            import_only,
        )

    def _names(self, app_id: str) -> tuple[str, str]:
        record = self._register.running(app_id).record
        return record.name, record.environment

    def open(self, app: App, record: FunctionRecord, found: Sequence[FoundContainer] = ()) -> None:
        """Serve one more function, by containers of an earlier life that are its own first."""
        if record.bind and not record.key:
            record.key = bind_key(codec.deserialize(FunctionBindRequest, record.bind))
        plan, client_id = self.plan(record), app.record.client_id
        mine = [item for item in found if belongs(item, plan)]
        self._beside.host.open_function(plan, retry_of(record.spec), app.record.app_id, client_id, mine)
        self._register.put(app, record)

    def scale(self, record: FunctionRecord) -> None:
        """Have a function scale as its record says now."""
        pool = self._beside.pools.get(record.function_id)
        if pool is not None:
            pool.replan(self.plan(record))

    def claims(self, app: App, records: Sequence[FunctionRecord], deploys: bool = False) -> Sequence[Endpoint]:
        """Return where the app's functions are to answer; what is not deployed is told apart by its label."""
        record = app.record
        functions = [(known.function_id, known.spec) for known in records if not known.base_id]
        suffix = "" if deploys or record.state == AppState.DEPLOYED else "-dev"
        return endpoints_of(record.app_id, record.name, record.environment, functions, suffix)

    async def check_objects(self, app: App, spec: FunctionSpec) -> None:
        """Raise `NotFound` unless the secrets and volumes that a function names are in its app's environment."""
        if named := secrets_named(spec):
            await self._beside.objects.check_secrets(named, app.record.environment)
        mounts = [*spec.volumes, *spec.network_file_systems]
        if mounts:
            await self._beside.objects.check_volumes([mount.volume_id for mount in mounts], app.record.environment)

    async def mask_secrets(self, app: App, functions: Sequence[FunctionRecord]) -> None:
        """Have what containers of an earlier life were given masked before a line of theirs arrives."""
        for secret_id in {one for function in functions for one in function.spec.secret_ids}:
            try:
                values = await self._beside.objects.secret_values([secret_id])
            except ServiceError as error:
                log.warning("%s: %s", app, error)
            else:
                self._beside.mask(app.record.app_id, values.values())

    async def schedule(self, app: App) -> None:
        """Have a deployed app's functions run by the clock as they are now; those of others only run when called.

        To be called whenever the functions of an app have become other ones.
        """
        if app.record.state == AppState.DEPLOYED:
            bases = [(known.function_id, known.spec) for known in app.functions.values() if not known.base_id]
            await self._beside.schedules.app_started(app.record.app_id, bases)


def belongs(found: FoundContainer, plan: PoolPlan) -> bool:
    """Whether a container of an earlier life runs what the function is now."""
    return found.function_id == plan.function_id and found.revision == plan.load.revision
