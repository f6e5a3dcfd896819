"""Sandboxes: asked for, listed, waited for, read and written, ended."""

from collections.abc import AsyncIterator

from wherry_proto.messages import (
    SandboxCreateRequest,
    SandboxGetRequest,
    SandboxInfo,
    SandboxInputRequest,
    SandboxInputResponse,
    SandboxListRequest,
    SandboxListResponse,
    SandboxMountRequest,
    SandboxMountResponse,
    SandboxOutbound,
    SandboxOutput,
    SandboxOutputRequest,
    SandboxPauseRequest,
    SandboxResumeRequest,
    SandboxSetOutboundRequest,
    SandboxSetTagsRequest,
    SandboxSnapshotRequest,
    SandboxSnapshotResponse,
    SandboxTerminateRequest,
    SandboxWaitRequest,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import DEVELOP, FIELD, Inside
from wherry_service.apps.register import AppRegister
from wherry_service.ids import check_id
from wherry_service.sandboxes.sandboxes import Sandboxes

DEFAULT_ENVIRONMENT = "main"
# Bytes of output in one message.
_PIECE = 1 << 20


class SandboxApi:
    """Serves sandboxes."""

    def __init__(self, sandboxes: Sandboxes, apps: AppRegister) -> None:
        self._sandboxes = sandboxes
        self._apps = apps

    @rpc("Sandboxes.Create", DEVELOP, ("app_id", "environment"), audited=True, inside=Inside.SANDBOX)
    async def create(self, request: SandboxCreateRequest) -> SandboxInfo:
        known = await self._sandboxes.known(_checked(request.sandbox_id))
        if known is not None:
            return known
        app_name, environment = "", request.environment or DEFAULT_ENVIRONMENT
        if request.app_id:
            app = self._apps.info(check_id(request.app_id, "ap", "app id"))
            app_name, environment = app.name, app.environment
        return await self._sandboxes.create(request, app_name, environment)

    @rpc("Sandboxes.Get", DEVELOP, ("sandbox_id", "environment"), inside=Inside.SANDBOX)
    async def get(self, request: SandboxGetRequest) -> SandboxInfo:
        if request.sandbox_id:
            return await self._sandboxes.register.get(_checked(request.sandbox_id))
        environment = request.environment or DEFAULT_ENVIRONMENT
        if request.include_ended:
            return await self._sandboxes.register.latest(request.name, request.app_name, environment)
        return self._sandboxes.register.by_name(request.name, request.app_name, environment)

    @rpc("Sandboxes.Wait", DEVELOP, ("sandbox_id",), inside=Inside.SANDBOX)
    async def wait(self, request: SandboxWaitRequest) -> SandboxInfo:
        return await self._sandboxes.wait(_checked(request.sandbox_id), request.timeout_s, request.until_ready)

    @rpc("Sandboxes.Terminate", DEVELOP, ("sandbox_id",), audited=True, inside=Inside.SANDBOX)
    async def terminate(self, request: SandboxTerminateRequest) -> SandboxInfo:
        return await self._sandboxes.terminate(_checked(request.sandbox_id))

    @rpc("Sandboxes.List", DEVELOP, FIELD, inside=Inside.SANDBOX)
    async def list(self, request: SandboxListRequest) -> SandboxListResponse:
        environment = request.environment or DEFAULT_ENVIRONMENT
        found = await self._sandboxes.register.list(environment, request.app_id, request.tags, request.include_ended)
        return SandboxListResponse(sandboxes=found)

    @rpc("Sandboxes.SetTags", DEVELOP, ("sandbox_id",), inside=Inside.SANDBOX)
    async def set_tags(self, request: SandboxSetTagsRequest) -> SandboxInfo:
        return await self._sandboxes.set_tags(_checked(request.sandbox_id), request.tags)

    @rpc("Sandboxes.Pause", DEVELOP, ("sandbox_id",), inside=Inside.SANDBOX)
    async def pause(self, request: SandboxPauseRequest) -> SandboxInfo:
        return await self._sandboxes.pause(_checked(request.sandbox_id), True)

    @rpc("Sandboxes.Resume", DEVELOP, ("sandbox_id",), inside=Inside.SANDBOX)
    async def resume(self, request: SandboxResumeRequest) -> SandboxInfo:
        return await self._sandboxes.pause(_checked(request.sandbox_id), False)

    @rpc("Sandboxes.SetOutbound", DEVELOP, ("sandbox_id",), audited=True, inside=Inside.SANDBOX)
    async def set_outbound(self, request: SandboxSetOutboundRequest) -> SandboxInfo:
        return await self._sandboxes.set_outbound(_checked(request.sandbox_id), request.outbound or SandboxOutbound())

    @rpc("Sandboxes.Output", DEVELOP, ("sandbox_id",), inside=Inside.SANDBOX)
    async def output(self, request: SandboxOutputRequest) -> AsyncIterator[SandboxOutput]:
        pieces = self._sandboxes.streams.output(
            _checked(request.sandbox_id), request.stream, request.offset, request.follow, request.masked
        )
        async for data in pieces:
            for start in range(0, len(data), _PIECE):
                yield SandboxOutput(data=data[start : start + _PIECE])

    @rpc("Sandboxes.Input", DEVELOP, ("sandbox_id",), inside=Inside.SANDBOX)
    async def input(self, request: SandboxInputRequest) -> SandboxInputResponse:
        await self._sandboxes.streams.write(
            _checked(request.sandbox_id), request.writer_id[:64], request.offset, request.data, request.eof
        )
        return SandboxInputResponse()

    @rpc("Sandboxes.Snapshot", DEVELOP, ("sandbox_id",), audited=True, inside=Inside.SANDBOX)
    async def snapshot(self, request: SandboxSnapshotRequest) -> SandboxSnapshotResponse:
        sandbox_id = _checked(request.sandbox_id)
        return SandboxSnapshotResponse(image_id=await self._sandboxes.snapshot(sandbox_id, request.path, request.ttl_s))

    @rpc("Sandboxes.Mount", DEVELOP, ("sandbox_id",), audited=True)
    async def mount(self, request: SandboxMountRequest) -> SandboxMountResponse:
        await self._sandboxes.mount(_checked(request.sandbox_id), request.path, request.image_id)
        return SandboxMountResponse()


def _checked(sandbox_id: str) -> str:
    return check_id(sandbox_id, "sb", "sandbox id")
