"""Server: what runs here, and stopping it."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wherry_proto.messages import (
    EngineInfo,
    HostLoad,
    IsolationInfo,
    NetworkIsolation,
    ServerInfo,
    ServerInfoRequest,
    ServerStopRequest,
    ServerStopResponse,
)
from wherry_service import __version__
from wherry_service.api.disk import disks
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ADMIN, ANY, Inside, Where
from wherry_service.api.sessions import CLIENT_PROTOCOL
from wherry_service.apps.register import AppRegister
from wherry_service.engines.containment import Containment
from wherry_service.engines.engine import Engine, EngineError, EngineStatus
from wherry_service.engines.network import OwnNetwork

# Docker's BuildKit runs the steps of builds with it, whatever the engine's default is. It takes no limit of memory.
BUILD_RUNTIME = "runc"


@dataclass(frozen=True, slots=True)
class Isolation:
    """What keeps this service's containers from its host and from each other."""

    containment: Containment
    # The OCI runtime of sandboxes; "": the engine's default.
    sandbox_runtime: str
    network: OwnNetwork

    async def told(self, status: EngineStatus) -> IsolationInfo:
        """Return it as it is on an engine that answers."""
        problem = ""
        try:
            await self.network.name()
        except EngineError as error:
            problem = str(error)
        problem = problem or self.network.problem
        kind = NetworkIsolation.PARTIAL if problem else NetworkIsolation.FULL
        return IsolationInfo(
            runtime=self.containment.runtime or status.default_runtime,
            sandbox_runtime=self.sandbox_runtime or status.default_runtime,
            network=NetworkIsolation.OFF if self.network.settings.isolate == "off" else kind,
            network_problem=problem,
            user_namespaces=status.user_namespaces,
            user=self.containment.user,
            memory_limit_mib=self.containment.memory_limit_mib,
            build_runtime=BUILD_RUNTIME,
        )


class ServerApi:
    """Serves information about the service itself."""

    def __init__(
        self,
        instance_id: str,
        state_dir: Path,
        handover_dir: Path,
        engine: Engine,
        apps: AppRegister,
        num_containers: Callable[[], int],
        request_stop: Callable[[bool], None],
        isolation: Isolation,
        load: Callable[[], HostLoad],
    ) -> None:
        self._load = load
        self._isolation = isolation
        self._instance_id = instance_id
        self._state_dir = state_dir
        self._handover_dir = handover_dir
        self._engine = engine
        self._apps = apps
        self._num_containers = num_containers
        self._request_stop = request_stop
        self._started_at_ms = int(time.time() * 1000)

    @rpc("Server.Info", ANY, Where.ANYWHERE, inside=Inside.ENVIRONMENT)
    async def info(self, request: ServerInfoRequest) -> ServerInfo:
        info = ServerInfo(
            version=__version__,
            protocol=CLIENT_PROTOCOL,
            instance_id=self._instance_id,
            pid=os.getpid(),
            started_at_ms=self._started_at_ms,
            state_dir=str(self._state_dir),
            handover_dir=str(self._handover_dir),
            num_apps=len(self._apps),
            num_containers=self._num_containers(),
        )
        if request.with_engine:
            info.load = self._load()
            status = await self._engine.status()
            info.engine = EngineInfo(
                reachable=status.reachable,
                version=status.version,
                error=status.error,
                address=status.address,
                origin=status.origin,
            )
            info.disks = await asyncio.to_thread(disks, self._state_dir, status.directory)
            if status.reachable:
                info.isolation = await self._isolation.told(status)
        return info

    @rpc("Server.Stop", ADMIN, Where.EVERYWHERE, audited=True)
    async def stop(self, request: ServerStopRequest) -> ServerStopResponse:
        count = self._num_containers()
        self._request_stop(request.force)
        return ServerStopResponse(num_containers_stopped=count)
