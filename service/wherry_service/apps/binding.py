"""Other functions made of an app's own: with parameters and options, in an earlier version, scaled otherwise."""

import copy
import dataclasses

from wherry_proto import codec
from wherry_proto.messages import (
    FunctionBindRequest,
    FunctionInfo,
    FunctionSpec,
    FunctionUpdateRequest,
    PoolSettings,
)
from wherry_service.apps.app import App, Beside, grace_of
from wherry_service.apps.parameters import without_json
from wherry_service.apps.register import AppRegister
from wherry_service.apps.serving import Serving
from wherry_service.apps.variants import bind_key, merged, normalized, variant_of
from wherry_service.errors import Exhausted, InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.store.apps import FunctionRecord

MAX_VARIANTS = 1000
# Of one app, of which only requests know.
MAX_OF_REQUESTS = 100


class Binding:
    """Makes variants of functions when they are first asked for."""

    def __init__(self, beside: Beside, register: AppRegister, serving: Serving) -> None:
        self._store = beside.store
        self._host = beside.host
        self._register = register
        self._serving = serving
        # Variants that only requests have asked for, by their ids, those of the latest requests last: and whose.
        self._of_requests: dict[str, str] = {}

    async def bind_for_request(self, request: FunctionBindRequest) -> FunctionInfo:
        """Do as `bind` for a request from outside, of which any number may come, each with other parameters.

        Of the variants that only requests have asked for, an app has so many: for one more, the one goes that has been
        idle the longest. Raises `Exhausted` where none is idle.
        """
        register, ours = self._register, self._of_requests
        app, base = register.find(request.function_id)
        key = bind_key(request)
        known = _variant(app, base, key) if key else base
        if known is None:
            app_id = app.record.app_id
            mine = [function_id for function_id, owner in ours.items() if owner == app_id]
            for function_id in mine if len(mine) >= MAX_OF_REQUESTS else ():
                if await self._drop(function_id):
                    break
            else:
                if len(mine) >= MAX_OF_REQUESTS:
                    raise Exhausted(f"{app} works on requests with {MAX_OF_REQUESTS} different parameters already")
            info = await self.bind(request, True)
            ours[info.function_id] = app_id
            return info
        if known.function_id in ours:
            ours[known.function_id] = ours.pop(known.function_id)
        return register.function_info(app, known)

    async def _drop(self, function_id: str) -> bool:
        """Serve a variant no longer, if it is idle; return whether that is so."""
        if self._host.is_working(function_id):
            return False
        try:
            app, _ = self._register.find(function_id)
        except NotFound:
            self._of_requests.pop(function_id, None)
            return True
        async with app.lock:
            if function_id not in app.functions or self._host.is_working(function_id):
                return False
            self._of_requests.pop(function_id, None)
            record = app.functions[function_id]
            await self._store.drop_variant(function_id)
            self._register.drop(app, function_id)
        await self._host.close_function(function_id, grace_of(record), "Nobody has asked for these parameters lately.")
        return True

    async def bind(self, request: FunctionBindRequest, is_for_request: bool = False) -> FunctionInfo:
        """Return the variant of a function that has these parameters and options; made when first asked for."""
        register = self._register
        app, base = register.find(request.function_id)
        request = without_json(request, base.spec)
        key = bind_key(request)
        async with app.lock:
            # Published anew or stopped meanwhile, it may be another, or none.
            app, base = register.find(request.function_id)
            if base.base_id and not base.version:
                raise InvalidRequest(f"function {base.function_id} is a variant itself: bind the one it was made of")
            if not key:
                return register.function_info(app, base)
            if (known := _variant(app, base, key)) is not None:
                if not is_for_request:
                    self._of_requests.pop(known.function_id, None)
                return register.function_info(app, known)
            if sum(1 for record in app.functions.values() if record.base_id) >= MAX_VARIANTS:
                raise Exhausted(f"{app} has {MAX_VARIANTS} variants of its functions: use fewer different parameters")
            spec, data = variant_of(base.spec, request), codec.serialize(normalized(request))
            record = FunctionRecord(new_id("fu"), base.app_id, base.name, spec, base.function_id, data, key)
            self._serving.plan(record)
            await self._serving.check_objects(app, spec)
            await self._store.add_variant(record)
            self._serving.open(app, record)
        return register.function_info(app, record)

    async def update(self, request: FunctionUpdateRequest) -> FunctionInfo:
        """Change how a function scales, until its app is published anew."""
        app, _ = self._register.find(request.function_id)
        async with app.lock:
            app, record = self._register.find(request.function_id)
            changed = dataclasses.replace(record, live=merged(record.live, request))
            self._serving.plan(changed)
            await self._store.set_live(changed)
            record.live = changed.live
            self._serving.scale(record)
        return self._register.function_info(app, record)

    async def add_version(self, app: App, function_id: str, spec: FunctionSpec, version: int) -> FunctionInfo:
        """Serve a function as it was in a version of its app, too; of it no container is kept running."""
        spec = copy.copy(spec)
        spec.schedule, spec.web = None, None
        spec.pool = copy.copy(spec.pool or PoolSettings())
        spec.pool.min_containers = spec.pool.buffer_containers = 0
        record = FunctionRecord(new_id("fu"), app.record.app_id, spec.name, spec, function_id, version=version)
        self._serving.plan(record)
        await self._serving.check_objects(app, spec)
        await self._store.add_variant(record)
        await self._serving.mask_secrets(app, [record])
        self._serving.open(app, record)
        return self._register.function_info(app, record)


def _variant(app: App, base: FunctionRecord, key: bytes) -> FunctionRecord | None:
    for record in app.functions.values():
        if record.base_id == base.function_id and record.key == key:
            return record
    return None
