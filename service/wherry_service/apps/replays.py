"""Running failed inputs again: on the version that failed, or on the newest."""

import asyncio
from collections.abc import Callable, Sequence

from wherry_proto import codec
from wherry_proto.messages import (
    Failure,
    FunctionBindRequest,
    FunctionInfo,
    FunctionSpec,
    Payload,
    ReplayedInput,
    ReplayRunResponse,
    ReplayVersion,
)
from wherry_service.apps.apps import Apps
from wherry_service.apps.deployments import Deployments
from wherry_service.apps.variants import variant_of
from wherry_service.calls.call import Input
from wherry_service.calls.failures import Failures, made, row_of
from wherry_service.errors import InvalidRequest, NotFound, ServiceError, Unready
from wherry_service.store.apps import AppStore, FunctionRecord
from wherry_service.store.blobs import keep_patiently
from wherry_service.store.calls import Cause, InputRow
from wherry_service.store.failed_inputs import KeptInput, Wanted
from wherry_service.store.sources import SourceStore

# Inputs of one request: each may bring 1 MiB of arguments.
MAX_AT_ONCE = 100


class Replays:
    """Makes new inputs of those that failed and are kept."""

    def __init__(
        self,
        failures: Failures,
        apps: Apps,
        app_store: AppStore,
        deployments: Deployments,
        gate: Callable[[], Callable[[Input], Failure | None]],
        sources: SourceStore,
    ) -> None:
        self.store = failures.store
        self._failures = failures
        self._apps = apps
        self._app_store = app_store
        self._deployments = deployments
        # Returns what says of each input why it can't be taken now (the dispatcher's).
        self._gate = gate
        self._sources = sources

    # Run again

    async def run(
        self, environment: str, input_ids: Sequence[str], version: int, operation_id: str, once: bool = False
    ) -> ReplayRunResponse:
        """Run kept inputs again; of each say what became of it. The same operation twice runs them once.

        `once`: those are refused that are another run of one themselves.
        """
        if not 1 <= len(input_ids) <= MAX_AT_ONCE:
            raise InvalidRequest(f"1 to {MAX_AT_ONCE} inputs are run again at once, not {len(input_ids)}")
        # Not to be interrupted by a client that goes: what was written must be queued, too.
        work = self._run(environment, list(dict.fromkeys(input_ids)), version, operation_id, once)
        return await asyncio.shield(asyncio.ensure_future(work))

    async def _run(
        self, environment: str, input_ids: Sequence[str], version: int, operation_id: str, once: bool
    ) -> ReplayRunResponse:
        wanted = Wanted(environment, input_ids=input_ids)
        found = {one.input_id: one for one in await self.store.find(wanted, len(input_ids), with_payload=True)}
        targets: dict[tuple[str, int], FunctionInfo | ServiceError] = {}
        gate = self._gate()
        answer = ReplayRunResponse()
        items: dict[str, Input] = {}
        for input_id in input_ids:
            kept = found.get(input_id)
            told = ReplayedInput(input_id=input_id)
            answer.inputs.append(told)
            try:
                if kept is None:
                    raise NotFound(
                        f"failed input {input_id[:64]} is not kept here: it has not failed, was dropped, or belongs to "
                        "another environment"
                    )
                if once and kept.origin:
                    raise InvalidRequest(
                        f"{input_id} is another run of {kept.origin} already: code in a container runs an input again "
                        "once, so that nothing goes round and round"
                    )
                target = await self._target_once(targets, kept, version)
                item = await self._made(target.function_id, kept)
                if (refusal := gate(item)) is not None:
                    self._drop(item)
                    raise Unready(refusal.message)
            except ServiceError as error:
                told.problem = str(error)
                continue
            items[input_id] = item
            told.new_input_id, told.call_id = item.input_id, item.call_id
            told.function_id, told.function_name = target.function_id, target.name
        rows: dict[str, InputRow] = {input_id: row_of(item) for input_id, item in items.items()}
        before = await self.store.replay(rows, operation_id, codec.serialize(answer))
        if before is not None:
            for item in items.values():
                self._drop(item)
            return codec.deserialize(ReplayRunResponse, before)
        if items:
            self._failures.run(list(items.values()))
        return answer

    async def _made(self, function_id: str, kept: KeptInput) -> Input:
        """Return an input with the same arguments. A large one is its own: it goes when the input has ended."""
        payload = kept.payload or Payload()
        if payload.blob_id:
            blob_id = await asyncio.to_thread(self._failures.blobs.clone, payload.blob_id)
            await keep_patiently(self._failures.blobs, [blob_id])
            payload = Payload(format=payload.format, blob_id=blob_id, size=payload.size)
        return made(function_id, payload, kept.method, Cause.REPLAY, kept.input_id)

    def _drop(self, item: Input) -> None:
        if item.payload.blob_id:
            self._failures.blobs.delete(item.payload.blob_id)

    # On which version

    async def _target_once(
        self, known: dict[tuple[str, int], FunctionInfo | ServiceError], kept: KeptInput, version: int
    ) -> FunctionInfo:
        key = (kept.function_id, kept.version if version == ReplayVersion.FAILED else 0)
        if key not in known:
            try:
                known[key] = await self._target(kept, version)
            except ServiceError as error:
                known[key] = error
        found = known[key]
        if isinstance(found, ServiceError):
            raise found
        return found

    async def _target(self, kept: KeptInput, version: int) -> FunctionInfo:
        """Return the function that runs it again; raise `ServiceError` that says why there is none."""
        register = self._apps.register
        if version != ReplayVersion.FAILED:
            try:
                app, record = register.find(kept.function_id)
                base = app.functions.get(record.base_id)
                if not record.version and not (base is not None and base.version):
                    return register.function_info(app, record)
            except NotFound:
                pass
            return await self._bound(register.lookup(kept.app_name, kept.function_name, kept.environment), kept)
        if not kept.version:
            try:
                return register.function(kept.function_id)
            except NotFound:
                raise NotFound(
                    f"app {kept.app_name!r}, in which {kept.input_id} failed, was not deployed and has stopped: deploy "
                    "it, and run the input again on the newest version"
                ) from None
        served = register.running(kept.app_id) if register.is_running(kept.app_id) else None
        if served is None or served.deployment is None:
            raise NotFound(
                f"app {kept.app_name!r} was stopped since {kept.input_id} failed, so version {kept.version} is gone: "
                "deploy it, and run the input again on the newest version"
            )
        spec = await self._spec_in(kept, kept.version)
        if spec.source_id and not await asyncio.to_thread(self._sources.exists, spec.source_id):
            raise Unready(
                f"the source of version {kept.version} of {served} is gone: run {kept.input_id} again on the newest one"
            )
        if kept.version == served.deployment.version and kept.function_id in served.functions:
            return register.function(kept.function_id)
        info = await self._deployments.function(kept.app_name, kept.function_name, kept.environment, kept.version)
        return await self._bound(info, kept)

    async def _bound(self, info: FunctionInfo, kept: KeptInput) -> FunctionInfo:
        """Return a function with the parameters and options of the variant that failed, if it was one."""
        record = await self._record(kept)
        if record is None or not record.bind:
            return info
        request = codec.deserialize(FunctionBindRequest, record.bind)
        request.function_id = info.function_id
        return await self._apps.binding.bind(request)

    async def _record(self, kept: KeptInput) -> FunctionRecord | None:
        try:
            return self._apps.register.find(kept.function_id)[1]
        except NotFound:
            return await self._app_store.function(kept.function_id)

    async def _spec_in(self, kept: KeptInput, version: int) -> FunctionSpec:
        """Return a function as it was in a version of its app; raise `NotFound`."""
        deployment = await self._deployments.store.get(kept.app_id, version)
        for one in deployment.functions if deployment is not None else ():
            if one.spec is not None and one.spec.name == kept.function_name:
                return one.spec
        raise NotFound(
            f"version {version} of app {kept.app_name!r} is gone, the last 100 are kept: run {kept.input_id} again on "
            "the newest version"
        )

    # Looked into

    async def arguments(self, environment: str, input_id: str) -> KeptInput:
        """Return a kept input with its arguments; raise `NotFound`."""
        found = await self.store.find(Wanted(environment, input_ids=[input_id]), 1, with_payload=True)
        if not found:
            raise NotFound(
                f"failed input {input_id[:64]} is not kept here: `wherry call list --failed` shows which are"
            )
        return found[0]

    async def spec(self, kept: KeptInput, version: int) -> FunctionSpec:
        """Return the function that ran an input, as it was then or is now; raise `NotFound`."""
        record = await self._record(kept)
        if version != ReplayVersion.FAILED:
            try:
                base = self._apps.register.lookup(kept.app_name, kept.function_name, kept.environment)
                spec = self._apps.register.find(base.function_id)[1].spec
            except NotFound:
                # Its app has stopped: what it was last.
                if record is None:
                    raise
                return record.spec
        elif kept.version and not (record is not None and record.version):
            spec = await self._spec_in(kept, kept.version)
        elif record is not None:
            return record.spec
        else:
            raise NotFound(f"function {kept.function_name!r}, which ran {kept.input_id}, is not known any more")
        if record is not None and record.bind:
            return variant_of(spec, codec.deserialize(FunctionBindRequest, record.bind))
        return spec
