"""Failed inputs that are kept: listed, run again, looked into."""

from wherry_proto.messages import (
    FunctionSpec,
    KeptInput,
    ReplayArguments,
    ReplayArgumentsRequest,
    ReplayListRequest,
    ReplayListResponse,
    ReplayRunRequest,
    ReplayRunResponse,
    ReplayVersion,
)
from wherry_service.api.app_names import check_names
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ANY, DEVELOP, FIELD, INVOKE, Inside
from wherry_service.apps.replays import Replays
from wherry_service.errors import InvalidRequest
from wherry_service.ids import check_id, own_id
from wherry_service.store import failed_inputs
from wherry_service.store.apps import AppStore
from wherry_service.store.failed_inputs import Wanted

_LIMIT = 100
_MOST = 1000
_VERSIONS = (ReplayVersion.UNSPECIFIED, ReplayVersion.NEWEST, ReplayVersion.FAILED)


class ReplayApi:
    """Serves what is kept of failed inputs."""

    def __init__(self, replays: Replays, apps: AppStore) -> None:
        self._replays = replays
        self._apps = apps

    @rpc("Replays.List", ANY, FIELD, inside=Inside.ENVIRONMENT)
    async def list(self, request: ReplayListRequest) -> ReplayListResponse:
        wanted = Wanted(
            request.environment or "main",
            app=request.app,
            function=request.function,
            call_id=request.call_id,
            since_ms=request.since_ms,
            until_ms=request.until_ms,
            error=request.search,
            only_left=request.only_left,
        )
        limit, after = min(request.limit or _LIMIT, _MOST), _after(request.after)
        found = await self._replays.store.find(wanted, limit + 1, after)
        if not found and after is None:
            await check_names(self._apps, wanted.environment, request.app, request.function)
        more = f"{found[limit - 1].failed_at_ms} {found[limit - 1].input_id}" if len(found) > limit else ""
        return ReplayListResponse(inputs=[_message(one) for one in found[:limit]], next=more)

    @rpc("Replays.Run", INVOKE, FIELD, audited=True, inside=Inside.ENVIRONMENT)
    async def run(self, request: ReplayRunRequest) -> ReplayRunResponse:
        environment = request.environment or "main"
        # One who asks in another environment is another.
        operation_id = own_id(check_id(request.operation_id, "op", "operation id"), f"replay {environment}")
        input_ids = [check_id(one, "in", "input id") for one in request.input_ids]
        version = _version(request.version)
        return await self._replays.run(environment, input_ids, version, operation_id, request.once)

    @rpc("Replays.Arguments", DEVELOP, FIELD, audited=True)
    async def arguments(self, request: ReplayArgumentsRequest) -> ReplayArguments:
        input_id = check_id(request.input_id, "in", "input id")
        version = _version(request.version)
        kept = await self._replays.arguments(request.environment or "main", input_id)
        spec: FunctionSpec | None = None if request.bare else await self._replays.spec(kept, version)
        return ReplayArguments(input=_message(kept), payload=kept.payload, function=spec)


def _version(version: int) -> int:
    if version not in _VERSIONS:
        raise InvalidRequest(f"{version} is no version that inputs are run again on")
    return version


def _after(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    at_ms, _, input_id = text.partition(" ")
    if not at_ms.isdecimal() or len(at_ms) > 18:
        raise InvalidRequest("after is no key that a list of failed inputs ended with")
    return int(at_ms), check_id(input_id, "in", "input id")


def _message(one: failed_inputs.KeptInput) -> KeptInput:
    return KeptInput(
        input_id=one.input_id,
        call_id=one.call_id,
        index=one.index,
        app_id=one.app_id,
        app_name=one.app_name,
        function_id=one.function_id,
        function_name=one.function_name,
        method=one.method,
        version=one.version,
        queued_ms=one.queued_at_ms,
        failed_ms=one.failed_at_ms,
        kind=one.kind,
        error=one.error,
        attempts=one.attempts,
        argument_bytes=one.size,
        replay_of=one.origin,
        replayed_by=one.replayed_by,
    )
