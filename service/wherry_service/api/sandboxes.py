"""Sandboxes: asked for, listed, waited for, read and written, ended."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from wherry_proto.messages import (
    SandboxConnectToken,
    SandboxConnectTokenRequest,
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
from wherry_service.errors import InvalidRequest
from wherry_service.ids import check_id
from wherry_service.sandboxes.sandboxes import Sandboxes

DEFAULT_ENVIRONMENT = "main"
# Bytes of output in one message.
_PIECE = 1 << 20
# Characters of what a token says of who uses it.
MAX_USER_DATA = 2048


Ready = Callable[[], Awaitable[None]]


class TunnelUrls(Protocol):
    """Where ports of sandboxes and containers are reached over HTTP."""

    def url(self, owner_id: str, port: int) -> str:
        """Return where a port answers; "" where this service has no domain."""

    def local_url(self, owner_id: str, port: int, host: str) -> str:
        """Return where a port whose tunnel listens at a host of ours answers in containers; "" where `url` does."""

    def connect_url(self, owner_id: str) -> str:
        """Return where tokens are taken."""

    def token(self, owner_id: str, port: int, metadata: str) -> str:
        """Return a token for a port."""


class SandboxApi:
    """Serves sandboxes."""

    def __init__(self, sandboxes: Sandboxes, apps: AppRegister, urls: TunnelUrls, ready: Ready) -> None:
        self._sandboxes = sandboxes
        self._apps = apps
        self._urls = urls
        # Has the ingress listen.
        self._ready = ready

    async def _told(self, info: SandboxInfo) -> SandboxInfo:
        """Return a sandbox with where its ports answer."""
        for tunnel in info.tunnels:
            tunnel.url = self._urls.url(info.sandbox_id, tunnel.port)
        if any(tunnel.url for tunnel in info.tunnels):
            await self._ready()
        return info

    @rpc("Sandboxes.Create", DEVELOP, ("app_id", "environment"), audited=True, inside=Inside.SANDBOX)
    async def create(self, request: SandboxCreateRequest) -> SandboxInfo:
        known = await self._sandboxes.known(_checked(request.sandbox_id))
        if known is not None:
            return await self._told(known)
        app_name, environment = "", request.environment or DEFAULT_ENVIRONMENT
        if request.app_id:
            app = self._apps.info(check_id(request.app_id, "ap", "app id"))
            app_name, environment = app.name, app.environment
        return await self._told(await self._sandboxes.create(request, app_name, environment))

    @rpc("Sandboxes.Get", DEVELOP, ("sandbox_id", "environment"), inside=Inside.SANDBOX)
    async def get(self, request: SandboxGetRequest) -> SandboxInfo:
        if request.sandbox_id:
            return await self._told(await self._sandboxes.register.get(_checked(request.sandbox_id)))
        environment = request.environment or DEFAULT_ENVIRONMENT
        if request.include_ended:
            return await self._told(await self._sandboxes.register.latest(request.name, request.app_name, environment))
        return await self._told(self._sandboxes.register.by_name(request.name, request.app_name, environment))

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

    @rpc("Sandboxes.CreateConnectToken", DEVELOP, ("sandbox_id",), audited=True, inside=Inside.SANDBOX)
    async def create_connect_token(self, request: SandboxConnectTokenRequest) -> SandboxConnectToken:
        sandbox_id = _checked(request.sandbox_id)
        if self._sandboxes.register.alive(sandbox_id).record.spec.block_network:
            raise InvalidRequest(f"sandbox {sandbox_id} has no network (block_network=True), so no port to connect to")
        if not 1 <= request.port <= 65535:
            raise InvalidRequest(f"port {request.port} is none: it must be from 1 to 65535")
        data = request.user_data
        if len(data) > MAX_USER_DATA or not data.isascii() or not (data.isprintable() or not data):
            raise InvalidRequest(
                f"a token's user metadata is sent as a header: it must be printable ASCII of at most {MAX_USER_DATA} "
                "characters"
            )
        await self._ready()
        token = self._urls.token(sandbox_id, request.port, data)
        return SandboxConnectToken(url=self._urls.connect_url(sandbox_id), token=token)

    @rpc("Sandboxes.Pause", DEVELOP, ("sandbox_id",), inside=Inside.SANDBOX)
    async def pause(self, request: SandboxPauseRequest) -> SandboxInfo:
        return await self._sandboxes.changes.pause(_checked(request.sandbox_id), True)

    @rpc("Sandboxes.Resume", DEVELOP, ("sandbox_id",), inside=Inside.SANDBOX)
    async def resume(self, request: SandboxResumeRequest) -> SandboxInfo:
        return await self._sandboxes.changes.pause(_checked(request.sandbox_id), False)

    @rpc("Sandboxes.SetOutbound", DEVELOP, ("sandbox_id",), audited=True, inside=Inside.SANDBOX)
    async def set_outbound(self, request: SandboxSetOutboundRequest) -> SandboxInfo:
        return await self._sandboxes.changes.set_outbound(
            _checked(request.sandbox_id), request.outbound or SandboxOutbound()
        )

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

    @rpc("Sandboxes.Mount", DEVELOP, ("sandbox_id",), audited=True, inside=Inside.SANDBOX)
    async def mount(self, request: SandboxMountRequest) -> SandboxMountResponse:
        await self._sandboxes.mount(_checked(request.sandbox_id), request.path, request.image_id)
        return SandboxMountResponse()


def _checked(sandbox_id: str) -> str:
    return check_id(sandbox_id, "sb", "sandbox id")
