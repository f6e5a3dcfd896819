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
from wherry_service.apps.app import App
from wherry_service.apps.register import AppRegister
from wherry_service.apps.serving import Serving
from wherry_service.apps.variants import bind_key, merged, normalized, variant_of
from wherry_service.errors import Exhausted, InvalidRequest
from wherry_service.ids import new_id
from wherry_service.store.apps import AppStore, FunctionRecord

MAX_VARIANTS = 1000


class Binding:
    """Makes variants of functions when they are first asked for."""

    def __init__(self, store: AppStore, register: AppRegister, serving: Serving) -> None:
        self._store = store
        self._register = register
        self._serving = serving

    async def bind(self, request: FunctionBindRequest) -> FunctionInfo:
        """Return the variant of a function that has these parameters and options; made when first asked for."""
        register = self._register
        app, _ = register.find(request.function_id)
        key = bind_key(request)
        async with app.lock:
            # Published anew or stopped meanwhile, it may be another, or none.
            app, base = register.find(request.function_id)
            if base.base_id and not base.version:
                raise InvalidRequest(f"function {base.function_id} is a variant itself: bind the one it was made of")
            if not key:
                return register.function_info(app, base)
            for record in app.functions.values():
                if record.base_id == base.function_id and record.key == key:
                    return register.function_info(app, record)
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
