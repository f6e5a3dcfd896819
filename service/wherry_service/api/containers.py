"""Containers of functions: listed, stopped, and found for execs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from wherry_proto.messages import (
    ContainerForward,
    ContainerForwardRequest,
    ContainerInfo,
    ContainerListRequest,
    ContainerListResponse,
    ContainerStopRequest,
    ContainerStopResponse,
    ContainerUsagePoint,
    ContainerUsageRequest,
    ContainerUsageResponse,
    FunctionInfo,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ADMIN, ANY, DEPLOY, FIELD, Inside, Where
from wherry_service.api.sandboxes import Ready, TunnelUrls
from wherry_service.api.usages import Usages
from wherry_service.apps.register import AppRegister
from wherry_service.calls.call import Input
from wherry_service.errors import NotFound, Unready
from wherry_service.ids import check_id
from wherry_service.node.forwards import Forwards
from wherry_service.node.sampler import Sampler
from wherry_service.pools.container import Container, State
from wherry_service.pools.pool import Pool
from wherry_service.pools.pools import Pools


class EngineIds(Protocol):
    """The node, which knows what the engine calls its containers."""

    def engine_id(self, container_id: str) -> str: ...


class ContainerApi:
    """Serves containers."""

    def __init__(
        self,
        apps: AppRegister,
        pools: Pools[Input],
        node: EngineIds,
        forwards: Forwards,
        urls: TunnelUrls,
        ready: Ready,
        usages: Usages,
        sampler: Sampler,
    ) -> None:
        self._apps = apps
        self._forwards = forwards
        self._urls = urls
        # Has the ingress listen.
        self._ready = ready
        self._pools = pools
        self._node = node
        self._usages = usages
        self._sampler = sampler

    @rpc("Containers.List", ANY, FIELD)
    async def list(self, request: ContainerListRequest) -> ContainerListResponse:
        environment = request.environment or "main"
        found: list[ContainerInfo] = []
        for pool in self._pools:
            function = self._apps.function(pool.plan.function_id)
            app = self._apps.info(function.app_id)
            if app.environment == environment and request.app_id in ("", app.app_id):
                found += [self._info(container, function, app.name) for container in pool.containers.values()]
        found.sort(key=lambda info: info.created_at_ms, reverse=True)
        if request.with_usage:
            await self._measure(found)
        return ContainerListResponse(containers=found)

    async def _measure(self, found: Sequence[ContainerInfo]) -> None:
        ids = {info.container_id: self._node.engine_id(info.container_id) for info in found}
        measured = await self._usages.of(ids.values())
        for info in found:
            if (one := measured.get(ids[info.container_id])) is not None:
                info.cpu_ns, info.memory_bytes, info.measured_at_ms = *one.usage, one.at_ms

    @rpc("Containers.Usage", ANY, ("container_id",))
    async def usage(self, request: ContainerUsageRequest) -> ContainerUsageResponse:
        self._find(request.container_id)
        points = self._sampler.points(request.container_id)
        return ContainerUsageResponse(
            points=[
                ContainerUsagePoint(at_ms=one.at_ms, cpu_ns=one.cpu_ns, memory_bytes=one.memory_bytes)
                for one in points
                if one.at_ms >= request.since_ms
            ]
        )

    @rpc("Containers.Stop", DEPLOY, ("container_id",), audited=True)
    async def stop(self, request: ContainerStopRequest) -> ContainerStopResponse:
        _, container = self._find(request.container_id)
        held = len(container.held)
        if request.graceful:
            container.drain()
        else:
            container.kill("was stopped (wherry container stop)")
        return ContainerStopResponse(num_inputs=held)

    # Code in a container asks for its own alone (guests.py).
    @rpc("Containers.Forward", ADMIN, Where.NOWHERE, inside=Inside.APP)
    async def forward(self, request: ContainerForwardRequest) -> AsyncIterator[ContainerForward]:
        self._find(request.container_id)
        async with self._forwards.opened(request.container_id, request.port) as tunnel:
            url = self._urls.url(request.container_id, request.port)
            local_url = self._urls.local_url(request.container_id, request.port, tunnel.host)
            if url or local_url:
                await self._ready()
            yield ContainerForward(host=tunnel.host, host_port=tunnel.host_port, url=url, local_url=local_url)
            # Until the stream is closed.
            await asyncio.Event().wait()

    def _info(self, container: Container[Input], function: FunctionInfo, app_name: str) -> ContainerInfo:
        info = _info(container, function, app_name)
        if (seen := self._sampler.latest(info.container_id)) is not None:
            info.seen_memory_bytes, info.cores = seen[0].memory_bytes, seen[1]
        return info

    async def engine_id(self, container_id: str) -> str:
        """Return the engine's id of a running container; raise `NotFound` or `Unready`."""
        _, container = self._find(container_id)
        engine_id = self._node.engine_id(container_id)
        if not engine_id or container.state is State.CREATING:
            raise Unready(f"container {container_id} is still being made: try again in a moment")
        return engine_id

    def _find(self, container_id: str) -> tuple[Pool[Input], Container[Input]]:
        found = self._pools.find(check_id(container_id, "co", "container id"))
        if found is None:
            raise NotFound(f"no container {container_id} runs; `wherry container list` shows those that do")
        return found


def _info(container: Container[Input], function: FunctionInfo, app_name: str) -> ContainerInfo:
    return ContainerInfo(
        container_id=container.container_id,
        app_id=function.app_id,
        app_name=app_name,
        function_id=function.function_id,
        function_name=function.name,
        state=str(container.state),
        created_at_ms=container.created_at_ms,
        num_inputs=len(container.held),
        num_execs=container.num_execs,
    )
