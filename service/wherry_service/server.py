"""Assembles the control plane and runs it."""

import asyncio
import functools
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from wherry_proto.messages import CallGraph, CallGraphRequest, CallKind
from wherry_service import __version__
from wherry_service.api.apps import AppApi
from wherry_service.api.blobs import BlobApi
from wherry_service.api.containers import ContainerApi
from wherry_service.api.deployments import DeploymentApi
from wherry_service.api.door import Door
from wherry_service.api.edge import Handler
from wherry_service.api.environments import EnvironmentApi, within
from wherry_service.api.execs import ExecApi
from wherry_service.api.guests import Guests
from wherry_service.api.images import ImageApi
from wherry_service.api.info import Isolation, ServerApi
from wherry_service.api.local import LocalApi
from wherry_service.api.logs import LogApi
from wherry_service.api.member import Surroundings
from wherry_service.api.objects import object_handlers
from wherry_service.api.places import Places
from wherry_service.api.sandboxes import SandboxApi
from wherry_service.api.schedules import ScheduleApi
from wherry_service.api.sessions import SessionApi
from wherry_service.api.socket_edge import SocketEdge
from wherry_service.api.terminals import Terminals
from wherry_service.api.tokens import Tokens
from wherry_service.apps.apps import Apps
from wherry_service.apps.deployments import Deployments
from wherry_service.apps.endpoints import Endpoints, Site
from wherry_service.apps.environments import Environments
from wherry_service.apps.source_use import SourceUse
from wherry_service.calls.call import Call, Input
from wherry_service.calls.client import Client, Clients
from wherry_service.calls.diary import Diary
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.exchange import Exchanges
from wherry_service.calls.journal import Journal
from wherry_service.calls.queue import QueueLimit
from wherry_service.calls.values import Values
from wherry_service.engines.containment import Containment, check_engine
from wherry_service.engines.docker import DockerEngine
from wherry_service.engines.engine import Engine, EngineError
from wherry_service.engines.network import NetworkSettings, OwnNetwork
from wherry_service.errors import ServiceError
from wherry_service.host import Processors, blobs_of, database_url, host_size, open_ports, volumes_of
from wherry_service.housekeeping import Housekeeping
from wherry_service.ids import check_id, instance_of, new_id
from wherry_service.images import host
from wherry_service.images.builder import ImageBuilder
from wherry_service.images.helpers import HelperImage
from wherry_service.images.prune import Pruner
from wherry_service.images.settings import ImageSettings
from wherry_service.ingress.auth import EitherProxyAuth, StaticProxyAuth, TokenProxyAuth
from wherry_service.ingress.ingress import Ingress
from wherry_service.ingress.settings import HttpSettings
from wherry_service.logs.masks import Masks
from wherry_service.logs.store import LogStore
from wherry_service.node.driver_volumes import DriverVolumes
from wherry_service.node.execs import Execs
from wherry_service.node.local import LocalNode
from wherry_service.node.local_sandboxes import LocalSandboxes
from wherry_service.node.node import FoundContainer, LoadOrder
from wherry_service.objects.keys import FILE_NAME, Keys
from wherry_service.objects.objects import Objects
from wherry_service.pools.capacity import Capacity
from wherry_service.pools.pools import Pools
from wherry_service.sandboxes.sandboxes import Sandboxes
from wherry_service.sandboxes.settings import SandboxSettings
from wherry_service.schedules.schedules import Schedules
from wherry_service.schedules.settings import ScheduleSettings
from wherry_service.settings import Settings, load
from wherry_service.store.apps import AppStore
from wherry_service.store.away import left_for_later
from wherry_service.store.blobs import bring_patiently
from wherry_service.store.bucket import BlobSettings
from wherry_service.store.calls import CallStore, OpenInput
from wherry_service.store.database import Database
from wherry_service.store.deployments import DeploymentStore
from wherry_service.store.environment_records import EnvironmentRecords
from wherry_service.store.environments import EnvironmentStore
from wherry_service.store.images import ImageStore
from wherry_service.store.sandboxes import SandboxStore
from wherry_service.store.schedules import ScheduleStore
from wherry_service.store.sources import SourceStore
from wherry_service.store.tokens import AuditStore, TokenStore
from wherry_service.store.web import WebStore
from wherry_service.store.yields import YieldStore
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)

# gRPC, for any client; and frames, which the SDK on the same machine speaks (api/local.py).
LOCAL_SOCKET_NAME = "local.sock"
# Seconds that clients of an earlier life get to come back before their ephemeral apps stop.
RETURN_WITHIN_S = 60.0
# Seconds that found containers get to come back before their work is given to others.
ADOPTION_S = 2.0
# Seconds that the engine gets at the start to list its containers, and between asking it again.
FIND_WITHIN_S = 2.0
FIND_EVERY_S = 5.0
# Seconds beyond the running inputs' that a database which is away gets while the service stops.
DATABASE_GRACE_S = 10.0


class Service:
    """The control plane of one state directory."""

    def __init__(self, state_dir: Path, engine: Engine | None = None, settings: Settings | None = None) -> None:
        self._settings = settings or load(None)
        self.state_dir = state_dir
        self.instance_id = new_id("sv")
        self._volume_store = volumes_of(self._settings, state_dir)
        http = HttpSettings.from_environment(self._settings.rooms)
        self._network = _network(self._settings, http, state_dir)
        self._engine = engine or DockerEngine(self._volume_store.driver, self._network)
        self._stop = asyncio.Event()
        self._force = False
        self._tasks = Tasks("a task of the service failed")
        self._local: asyncio.Server | None = None
        self._scheduling: asyncio.Task[None] | None = None
        self._database = Database(
            database_url(self._settings, state_dir),
            f"process {os.getpid()} on {socket.gethostname()}, for {state_dir}",
            _die,
        )
        self._blobs = blobs_of(BlobSettings.from_environment(self._settings.rooms), state_dir / "blobs")
        self._sources = SourceStore(state_dir / "sources", self._blobs)
        self._masks = Masks()
        self._logs = LogStore(state_dir / "logs", self._settings.logs_max_bytes)
        self._node = LocalNode(
            self._engine,
            state_dir / "run",
            self._blobs,
            self._sources,
            masks=self._masks,
            volumes=self._volume_store,
            starts_at_once=self._settings.starts_at_once,
            containment=Containment.from_environment(self._settings.rooms, host_size()[1]),
        )
        self._capacity = Capacity(*host_size(), Processors().busy, self._settings.containers_per_core)
        self._pools: Pools[Input] = Pools(self._node, self._capacity)
        self._call_store = CallStore(self._database)
        self._values = Values(YieldStore(self._database), self._blobs)
        self._journal = Journal(self._call_store, self._blobs, self._values, self._describe)
        self._clients = Clients(self._client_gone)
        self._dispatcher = Dispatcher(
            self._pools, self._clients, self._journal, Diary(self._logs, self._masks), QueueLimit()
        )
        self._sessions = SessionApi(self._clients, self._journal, self._dispatcher, self.instance_id)
        self._objects = Objects(
            self._database,
            self._blobs,
            Keys.take_from(state_dir / FILE_NAME, os.environ),
            volumes=self._volume_store,
        )
        self._image_settings = ImageSettings.from_environment(self._settings.rooms)
        self._builder = ImageBuilder(
            self._engine,
            state_dir / "images",
            ImageStore(self._database),
            self._blobs,
            self._sources,
            self._image_settings,
            self._objects,
            self._volume_store,
            labels={"wherry.instance": self._node.instance},
            containment=self._node.containment,
        )
        self._node.mount_buckets(HelperImage(self._builder), host.proxies(), host.authorities)
        self._sandbox_node = LocalSandboxes(
            self._engine,
            self._node.instance,
            self._node.start_slots,
            state_dir / "sandboxes" / "trees",
            self._sources,
            self._volume_store,
            self._node.buckets,
            self._node.containment,
        )
        self._sandboxes = Sandboxes(
            SandboxStore(self._database),
            self._sandbox_node,
            self._capacity,
            self._builder,
            state_dir / "sandboxes",
            SandboxSettings.from_environment(self._settings.rooms),
            self._objects,
        )
        self._execs = Execs(self._engine, self._begin_use, self._end_use)
        endpoints = Endpoints(Site())
        exchanges = Exchanges(self._journal, self._dispatcher, http.queue_limit)
        self._web_store = WebStore(self._database)
        tokens = Tokens(TokenStore(self._database), self._settings.failed_logins)
        auth = EitherProxyAuth(StaticProxyAuth(http.proxy_tokens), TokenProxyAuth(tokens.invokes))
        self._ingress = Ingress(http, endpoints, exchanges, self._web_store, self._blobs, state_dir, auth)
        self._app_store = AppStore(self._database)
        self._schedules = Schedules(
            ScheduleStore(self._database),
            self._journal,
            self._dispatcher,
            ScheduleSettings.from_environment(self._settings.rooms),
        )
        self._apps = Apps(
            self._app_store,
            self._dispatcher,
            self._pools,
            self._node,
            self._builder.ready,
            self._objects,
            self._app_stopped,
            self._masks.add,
            self._sandboxes,
            endpoints,
            self._ingress.ready,
            self._schedules,
        )
        self._deployments = Deployments(
            self._apps, self._app_store, DeploymentStore(self._database), self._pools, self._dispatcher
        )
        self._environments = Environments(
            EnvironmentRecords(self._database), self._apps, self._sandboxes, self._objects
        )
        self._pruner = Pruner(self._engine, self._builder, self._images_in_use)
        self._places = Places(EnvironmentStore(self._database), self._journal, self._pools, self._sandboxes, self._logs)
        self._environments.on_changed += (self._places.environment_changed, tokens.environment_changed)
        tokens.expect_environment = self._environments.expect
        self._door = Door(
            self._settings,
            state_dir,
            tokens,
            AuditStore(self._database),
            self._places,
            Surroundings(self._apps, self._journal, self._clients, self._sources),
        )
        self._socket_edge = SocketEdge(state_dir)

    async def run(self) -> None:
        """Serve until told to stop."""
        terminals = Terminals(self._apps, self._pools)
        handlers = {**self._handlers(), **terminals.handlers()}
        self._guests = Guests(handlers, self._sessions, self._apps, self._journal, self._places, terminals)
        self._node.connect_guest = self._guests.connect
        await check_engine(self._engine, self._settings.rooms)
        # Before anyone can connect: an app that is unknown for a moment would be an error to its client.
        found, _ = await asyncio.gather(self._find(), asyncio.to_thread(self._begin_stores))
        await self._environments.begin()
        durable = await self._restore(found or [])
        await self._builder.begin()
        local = await self._door.begin(handlers)
        await self._listen(local)
        self._node.begin()
        if isinstance(self._engine, DockerEngine):
            self._tasks.spawn(self._network.keep())
        self._tasks.spawn(self._recover(found, durable))
        for work in self._housekeeping().works():
            self._tasks.spawn(work)
        log.info("wherry %s serves %s, process %d", __version__, self.state_dir, os.getpid())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.request_stop, False)
        await self._stop.wait()
        await self._shut_down()

    def _begin_stores(self) -> None:
        # First what may refuse: the others have threads that would keep the process.
        self._blobs.begin()
        self._volume_store.begin()
        self._logs.begin()
        self._database.begin()

    def request_stop(self, force: bool) -> None:
        """Begin to stop; a second request, or a forced one, does not wait for running inputs."""
        self._force = self._force or force or self._stop.is_set()
        self._stop.set()

    def _handlers(self) -> dict[str, Handler]:
        apps = AppApi(self._apps, self._deployments, self._clients, self._dispatcher)
        blobs = BlobApi(self._blobs, self._sources)
        containers = ContainerApi(self._apps, self._pools, self._node)
        keep_days = self._image_settings.keep_days
        images = ImageApi(self._builder, self._engine, self._pruner, keep_days, self._apps.by_image)
        sandboxes = SandboxApi(self._sandboxes, self._apps)
        info = ServerApi(
            self.instance_id,
            self.state_dir,
            self._blobs.handover_dir,
            self._engine,
            self._apps,
            lambda: self._pools.num_containers + len(self._sandboxes),
            self.request_stop,
            Isolation(self._node.containment, self._sandboxes.settings.runtime, self._network),
        )
        handlers: dict[str, Handler] = {
            **self._door.handlers(),
            "Calls.Session": self._sessions.serve,
            "Calls.Graph": self._graph,
            "Calls.Values": self._values.serve,
            "Apps.Open": apps.open,
            "Apps.Publish": apps.publish,
            "Apps.Stop": apps.stop,
            "Apps.List": apps.list,
            "Apps.Show": apps.show,
            **DeploymentApi(self._deployments, self._app_store).handlers(),
            "Functions.Lookup": apps.lookup,
            "Functions.Stats": apps.stats,
            "Functions.Bind": apps.bind,
            "Functions.Update": apps.update,
            "Images.Ensure": images.ensure,
            "Images.Show": images.show,
            "Images.List": images.list,
            "Images.Logs": images.logs,
            "Images.Prune": images.prune,
            **sandboxes.handlers(),
            "Execs.Run": self._exec_api().run,
            "Containers.List": containers.list,
            "Containers.Stop": containers.stop,
            "Blobs.Missing": blobs.missing,
            "Blobs.Put": blobs.put,
            "Blobs.Get": blobs.get,
            "Blobs.Adopt": blobs.adopt,
            "Blobs.Locate": blobs.locate,
            "Blobs.PutSource": blobs.put_source,
            "Logs.Read": LogApi(self._logs, self._app_store, self._apps, self._pools).read,
            **object_handlers(self._objects, self._apps, self._clients),
            **EnvironmentApi(self._environments).handlers(),
            **ScheduleApi(self._schedules, self._apps).handlers(),
            "Server.Info": info.info,
            "Server.Stop": info.stop,
        }
        return within(self._environments, handlers)

    def _begin_use(self, container_id: str) -> None:
        self._sandboxes.begin_use(container_id)
        if (found := self._pools.find(container_id)) is not None:
            found[1].num_execs += 1

    def _end_use(self, container_id: str) -> None:
        self._sandboxes.end_use(container_id)
        if (found := self._pools.find(container_id)) is not None:
            found[0].left(found[1])

    def _exec_api(self) -> ExecApi:
        containers = ContainerApi(self._apps, self._pools, self._node)
        return ExecApi(self._execs, {"sb": self._sandboxes.engine_id, "co": containers.engine_id})

    async def _graph(self, request: CallGraphRequest) -> CallGraph:
        return await self._journal.graph(check_id(request.call_id, "fc", "call id"))

    def _describe(self, function_id: str) -> LoadOrder | None:
        pool = self._pools.get(function_id)
        return pool.plan.load if pool is not None else None

    async def _images_in_use(self) -> set[str]:
        return set(self._apps.by_image()) | self._sandboxes.image_ids() | await self._deployments.store.image_ids()

    async def _listen(self, handlers: dict[str, Handler]) -> None:
        self._local_api = LocalApi({**handlers, "Execs.Run": self._exec_api().run_here}, self._sessions)
        await self._socket_edge.start(handlers)
        local_path = self.state_dir / LOCAL_SOCKET_NAME
        # Only its owner may connect: the socket is the credential.
        before = os.umask(0o177)
        try:
            local_path.unlink(missing_ok=True)
            self._local = await asyncio.get_running_loop().create_unix_server(self._local_api, path=str(local_path))
        finally:
            os.umask(before)

    # An earlier life

    async def _find(self) -> list[FoundContainer] | None:
        """Return the containers of an earlier life; None if the engine does not say in time."""
        try:
            async with asyncio.timeout(FIND_WITHIN_S):
                return await self._node.find()
        except (EngineError, TimeoutError) as error:
            log.warning("containers of an earlier life cannot be looked for yet: %s", error or "the engine is slow")
            return None

    async def _restore(self, found: list[FoundContainer]) -> list[Input]:
        """Serve the apps of an earlier life again, with their containers; return the durable inputs that are open."""
        for client_id in await self._apps.restore(found):
            self._clients.expect(client_id, RETURN_WITHIN_S)
        await self._deployments.restore()
        for client_id in await self._objects.registry.restore(self._apps.ids()):
            self._clients.expect(client_id, RETURN_WITHIN_S)
        await self._sandboxes.restore()
        items = restored(await self._call_store.open_inputs())
        self._journal.restore(items)
        if self._apps.num_endpoints:
            try:
                await self._ingress.ready()
            except ServiceError as error:
                log.error("%s", error)
        return items

    async def _recover(self, found: list[FoundContainer] | None, durable: list[Input]) -> None:
        """Take up the rest of what an earlier life left: stray containers, sandboxes, durable inputs, missed ticks."""
        self._tasks.spawn(self._adopt_sandboxes())
        if found is None:
            self._tasks.spawn(self._find_late())
        else:
            await self._discard(self._apps.unwanted(found))
            if self._pools.num_containers:
                await self._pools.wait_connected(ADOPTION_S)
        if durable:
            log.info("queued %d durable inputs that were open", len(durable))
            here = {item.input_id for item in durable if self._is_here(item)}
            self._dispatcher.submit(item for item in durable if item.input_id in here and not item.done)
            self._tasks.spawn(self._submit_late([item for item in durable if item.input_id not in here]))
        self._scheduling = asyncio.ensure_future(self._schedules.run())

    def _is_here(self, item: Input) -> bool:
        return not item.payload.blob_id or self._blobs.is_here(item.payload.blob_id)

    async def _submit_late(self, items: list[Input]) -> None:
        """Queue inputs once their arguments have been brought here."""
        for item in items:
            await bring_patiently(self._blobs, item.payload.blob_id)
            self._dispatcher.submit([item] if not item.done else [])

    async def _find_late(self) -> None:
        """Look for containers of an earlier life until the engine answers."""
        while (found := await self._find()) is None:
            await asyncio.sleep(FIND_EVERY_S)
        self._apps.adopt(found)
        await self._discard(self._apps.unwanted(found))

    async def _adopt_sandboxes(self) -> None:
        await self._sandboxes.adopt()
        for app_id in self._sandboxes.app_ids():
            if not self._apps.is_running(app_id):
                await self._sandboxes.end_app(app_id, "It has stopped.")

    async def _discard(self, container_ids: list[str]) -> None:
        for container_id in container_ids:
            try:
                await self._node.discard(container_id)
            except EngineError as error:
                log.warning("container %s of an earlier life could not be removed: %s", container_id, error)

    # While it runs

    def _client_gone(self, client: Client) -> None:
        left = self._journal.calls_of(client)
        for call in left:
            if call.durable:
                call.client = None
        ended = [call for call in left if not call.durable]
        self._dispatcher.cancel_all(ended)
        for call in ended:
            self._journal.forget(call)
        for end in (self._apps.client_gone, self._objects.registry.client_gone):
            self._tasks.spawn(self._until_done(functools.partial(end, client.client_id)))

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            with left_for_later():
                return await work()
            await asyncio.sleep(FIND_EVERY_S)

    def _app_stopped(self, app_id: str) -> None:
        self._masks.forget(app_id)
        self._logs.end_app(app_id)

    def _housekeeping(self) -> Housekeeping:
        records = self._deployments.store, self._builder.records
        volumes = None
        if self._volume_store.driver is not None:
            registry = self._objects.registry
            volumes = DriverVolumes(self._engine, {"wherry.instance": self._node.instance}, registry.exists)
            registry.on_gone.append(volumes.gone)
        return Housekeeping(
            apps=self._apps,
            deployments=self._deployments,
            journal=self._journal,
            calls=self._call_store,
            web=self._web_store,
            blobs=self._blobs,
            objects=self._objects,
            sandboxes=self._sandboxes,
            schedules=self._schedules,
            door=self._door,
            pruner=self._pruner,
            source_use=SourceUse(self._sources, self._apps, self._pools, self._sandboxes, *records),
            driver_volumes=volumes,
            keep_images_days=self._image_settings.keep_days,
            keep_sources_days=self._settings.sources_keep_days,
        )

    # The end

    async def _shut_down(self) -> None:
        log.info("stopping%s", " at once" if self._force else "")
        grace = 0.0 if self._force else self._settings.stop_grace_s
        self._database.hurry(grace + DATABASE_GRACE_S)
        # What is due from here on is the next life's.
        if self._scheduling is not None:
            self._scheduling.cancel()
        await self._door.drain()
        await self._ingress.close()
        await self._apps.close()
        await self._apps.stop_ephemeral(0.0 if self._force else None)
        self._dispatcher.keep_durable()
        await self._sandboxes.close("was ended with the service")
        await self._pools.close_all(grace)
        await self._execs.close()
        await self._sandbox_node.close()
        await self._node.close()
        # Who follows is told that this is the end before the connection closes.
        await self._logs.close()
        if self._local is not None:
            self._local.close()
            self._local_api.close()
        await self._socket_edge.stop(1.0)
        await self._door.close()
        self._clients.close()
        await self._tasks.close()
        await self._engine.close()
        await asyncio.to_thread(self._blobs.close)
        self._database.close()
        (self.state_dir / LOCAL_SOCKET_NAME).unlink(missing_ok=True)
        log.info("stopped")


def _network(settings: Settings, http: HttpSettings, state_dir: Path) -> OwnNetwork:
    own = NetworkSettings.from_environment(settings.rooms)
    return OwnNetwork(own, instance_of(state_dir / "run"), state_dir, open_ports(settings, http))


def _die() -> None:
    """End as if killed, which loses nothing: what this service does from here on would not be written down."""
    os._exit(1)


def restored(rows: list[OpenInput]) -> list[Input]:
    calls: dict[str, Call] = {}
    items: list[Input] = []
    for row in rows:
        call = calls.get(row.call_id)
        if call is None:
            call = calls[row.call_id] = Call(row.call_id, row.function_id, CallKind.SPAWN, None, "")
            call.num_inputs = 0
        call.num_inputs = (call.num_inputs or 0) + 1
        items.append(Input(row.input_id, call, row.index, row.payload, row.method))
    return items
