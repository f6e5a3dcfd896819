"""The life of the service: it starts, serves until it is asked to stop, and ends in the reverse order."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wherry_service import __version__
from wherry_service.api.local import LocalApi
from wherry_service.api.socket_edge import SocketEdge
from wherry_service.assembly import MakeEngine, assemble
from wherry_service.calls.call import Input
from wherry_service.engines.containment import check_engine
from wherry_service.engines.docker import DockerEngine
from wherry_service.errors import NotFound, Unready
from wherry_service.forward.forwarder import Forwarder, Names
from wherry_service.forward.settings import ForwardSettings
from wherry_service.handlers import Handlers
from wherry_service.housekeeping import Housekeeping
from wherry_service.ids import instance_of
from wherry_service.metrics.metrics import Metrics
from wherry_service.node.node import FoundContainer
from wherry_service.recovery import Recovery
from wherry_service.settings import Settings
from wherry_service.ui.site import NAME, Dashboard
from wherry_service.watchman import Watchman

log = logging.getLogger(__name__)

# Frames, which the SDK on the same machine speaks (api/local.py); gRPC, for any client, has a socket beside it.
LOCAL_SOCKET_NAME = "local.sock"
# Seconds beyond the running inputs' that a database which is away gets while the service stops.
DATABASE_GRACE_S = 10.0
# Seconds that gRPC calls get to end.
GRPC_GRACE_S = 1.0


class Service:
    """The control plane of one state directory."""

    def __init__(self, state_dir: Path, settings: Settings, make_engine: MakeEngine = DockerEngine) -> None:
        self.parts = assemble(state_dir, settings, self._connect_guest, self._connect_web, make_engine)
        self.handlers = Handlers(self.parts)
        self._state_dir = state_dir
        if self.parts.basics.ui.enabled:
            self.parts.published.ingress.own.mount(NAME, "", self._dashboard())
        self._mount_api()
        self._recovery = Recovery(self.parts)
        self._watchman = Watchman(self.parts)
        self._forwarder = Forwarder(ForwardSettings.from_environment(settings.rooms), self._names)
        self.metrics = Metrics(self.parts, self._forwarder)
        self._local_socket = state_dir / LOCAL_SOCKET_NAME
        self._stop = self.parts.basics.stop
        # Seconds that running inputs get when it stops.
        self._grace_s = settings.stop_grace_s

    async def run(self) -> None:
        """Serve until told to stop."""
        async with contextlib.AsyncExitStack() as ends:
            self._forward(ends)
            found, durable = await self._begin(ends)
            await self._listen(ends)
            self._serve(ends, found, durable)
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self.request_stop, False)
            await self._stop.asked.wait()
        log.info("stopped")

    def _connect_guest(self, container_id: str, app_id: str) -> asyncio.Protocol:
        return self.handlers.guests.connect(container_id, app_id)

    def _connect_web(self, container_id: str, app_id: str) -> Callable[[], asyncio.Protocol]:
        published = self.parts.published
        return published.ingress.from_inside(
            lambda: published.apps.register.running(app_id).record.environment,
            lambda owner_id: self.handlers.guests.may_reach(container_id, app_id, owner_id),
        )

    def _dashboard(self) -> Dashboard:
        basics, instance = self.parts.basics, instance_of(self._state_dir / "run")
        logins, callers = self.parts.entrances.logins, self.handlers.callers
        ingress = self.parts.published.ingress
        return Dashboard(basics.ui, lambda: ingress.site, callers, logins, instance, basics.stop.asked)

    def _names(self, function_id: str) -> Names:
        try:
            app, record = self.parts.published.apps.register.find(function_id)
        except NotFound:
            return Names()
        return Names(app.record.environment, app.record.name, record.name)

    def _mount_api(self) -> None:
        published, http = self.parts.published, self.parts.basics.http
        made: list[Any] = []

        async def api(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if not made:
                from wherry_service.http_api.app import HttpApi  # noqa: PLC0415 - start-up cost: only with the first request

                made.append(HttpApi(self.handlers.callers, http.body_timeout_s))
            await made[0](scope, receive, send)

        if http.api:
            published.ingress.own.mount("api", "/v1", api)

    def request_stop(self, force: bool) -> None:
        """Begin to stop; a second request, or a forced one, does not wait for running inputs."""
        self._stop.ask(force)

    # Each of these pushes how what it begins ends. All ends run in the reverse order, from the last line of `_serve`
    # up to the first of `_begin`; where the start fails, only of what has begun by then.

    def _forward(self, ends: contextlib.AsyncExitStack) -> None:
        """Send lines of logs on to where they are wanted: the last of this life's too."""
        if self._forwarder.ways:
            self._forwarder.begin()
            ends.push_async_callback(asyncio.to_thread, self._forwarder.close)
            self.parts.stores.logs.on_kept.append(self._forwarder.on_batch)

    async def _begin(self, ends: contextlib.AsyncExitStack) -> tuple[list[FoundContainer] | None, list[Input]]:
        """Open what is on disk and serve again what an earlier life served, before anyone can connect.

        An app that is unknown for a moment would be an error to its client.
        """
        basics, stores, machine = self.parts.basics, self.parts.stores, self.parts.machine
        await check_engine(machine.engine, basics.settings.rooms)
        found, _ = await asyncio.gather(self._recovery.find(), asyncio.to_thread(stores.begin))
        ends.callback(self._local_socket.unlink, missing_ok=True)
        ends.callback(stores.database.close)
        ends.push_async_callback(self.parts.work.recorded.close)
        ends.push_async_callback(asyncio.to_thread, stores.blobs.close)
        ends.push_async_callback(machine.engine.close)
        ends.push_async_callback(basics.tasks.close)
        await self.parts.entrances.environments.begin()
        self.parts.entrances.logins.begin()
        durable = await self._recovery.restore(found or [])
        ends.callback(self.parts.work.clients.close)
        await machine.builder.begin()
        return found, durable

    async def _listen(self, ends: contextlib.AsyncExitStack) -> None:
        """Let clients connect: over TCP if that is wanted, and on the sockets in the state directory."""
        door = self.parts.entrances.door
        await door.begin(self.handlers.over_tcp)
        ends.push_async_callback(door.close)
        edge = SocketEdge(self._state_dir)
        ends.push_async_callback(edge.stop, GRPC_GRACE_S)
        await edge.start(self.handlers.over_grpc)
        await self._listen_here(ends)
        self.metrics.begin(ends)
        # Who follows a log is told that this is the end before the connection closes.
        ends.push_async_callback(self.parts.stores.logs.close)

    async def _listen_here(self, ends: contextlib.AsyncExitStack) -> None:
        api = LocalApi(self.handlers.over_frames, self.parts.entrances.sessions)
        # Only its owner may connect: the socket is the credential.
        before = os.umask(0o177)
        try:
            self._local_socket.unlink(missing_ok=True)
            local = await asyncio.get_running_loop().create_unix_server(api, path=str(self._local_socket))
        finally:
            os.umask(before)
        ends.callback(api.close)
        ends.callback(local.close)

    def _serve(self, ends: contextlib.AsyncExitStack, found: list[FoundContainer] | None, durable: list[Input]) -> None:
        """Run what clients ask for, and what goes on beside it."""
        machine, work, published = self.parts.machine, self.parts.work, self.parts.published
        spawn = self.parts.basics.tasks.spawn
        machine.node.begin()
        ends.push_async_callback(machine.node.close)
        ends.push_async_callback(machine.sandbox_node.close)
        ends.push_async_callback(work.execs.close)
        ends.push_async_callback(self._close_pools)
        ends.push_async_callback(work.sandboxes.close, "was ended with the service")
        # Before the pools end: durable inputs that run are the next life's.
        ends.callback(work.dispatcher.keep_durable)
        ends.push_async_callback(self._stop_ephemeral)
        ends.push_async_callback(published.apps.ending.close)
        ends.push_async_callback(published.ingress.close)
        ends.push_async_callback(self.parts.entrances.door.drain)
        if published.ingress.own:
            spawn(self._open_port())
        if isinstance(machine.engine, DockerEngine):
            spawn(machine.network.keep())
        ends.callback(self._recovery.stop_clock)
        spawn(self._recovery.recover(found, durable))
        spawn(machine.capacity.gpus.look())
        for goes_on in Housekeeping(self.parts).works():
            spawn(goes_on)
        self._watchman.begin()
        ends.push_async_callback(asyncio.to_thread, self._watchman.close)
        spawn(self._watchman.run())
        log.info("wherry %s serves %s, process %d", __version__, self._state_dir, os.getpid())
        ends.callback(self._hurry)

    async def _open_port(self) -> None:
        """Have the port of the service's own pages; without it the service works, and its clients do."""
        try:
            await self.parts.published.ingress.await_first()
        except Unready as error:
            log.warning("the HTTP API and the pages can't be reached: %s", error)

    # The end, where it is more than a call

    def _hurry(self) -> None:
        log.info("stopping%s", " at once" if self._stop.at_once else "")
        if self._stop.at_once:
            self._grace_s = 0.0
        self.parts.stores.database.hurry(self._grace_s + DATABASE_GRACE_S)

    async def _stop_ephemeral(self) -> None:
        await self.parts.published.apps.ending.stop_ephemeral(0.0 if self._stop.at_once else None)

    async def _close_pools(self) -> None:
        await self.parts.work.pools.close_all(self._grace_s)
