"""Builds the parts of the service, floor by floor: each is given what it needs of those below it."""

# large: every part there is, in the order in which each needs those before it

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from wherry_service.api.door import Door
from wherry_service.api.logins import FILE_NAME as SESSIONS
from wherry_service.api.logins import Logins
from wherry_service.api.member import RequestContext
from wherry_service.api.places import Places
from wherry_service.api.sessions import SessionApi
from wherry_service.api.tokens import Tokens
from wherry_service.apps.app import Beside
from wherry_service.apps.apps import Apps
from wherry_service.apps.by_query import ByQuery
from wherry_service.apps.container_use import ContainerUse
from wherry_service.apps.departures import Departures
from wherry_service.apps.deployments import Deployments
from wherry_service.apps.endpoints import Endpoints, Site
from wherry_service.apps.environments import Environments
from wherry_service.apps.failed import begin_failures
from wherry_service.apps.names import FunctionNames
from wherry_service.apps.replays import Replays
from wherry_service.apps.source_use import SourceUse
from wherry_service.calls.call import Input
from wherry_service.calls.client import Clients
from wherry_service.calls.diary import Diary
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.exchange import Exchanges
from wherry_service.calls.failures import Failures
from wherry_service.calls.journal import Journal
from wherry_service.calls.queue import QueueLimit
from wherry_service.calls.recorded import Recorded, recorded_by
from wherry_service.calls.recorder import Recorder
from wherry_service.calls.requests import RequestLog
from wherry_service.calls.server_sessions import ServerSessions
from wherry_service.calls.values import Values
from wherry_service.engines.containment import Containment
from wherry_service.engines.docker import DockerEngine
from wherry_service.engines.engine import Engine
from wherry_service.engines.gpus import Gpus, GpuSettings
from wherry_service.engines.listed import ListedNetwork
from wherry_service.engines.network import NetworkSettings, OwnNetwork, host_name_servers
from wherry_service.engines.volume_driver import VolumeDriver
from wherry_service.health import Health
from wherry_service.host import Processors, blobs_of, database_url, host_size, open_ports, volumes_of
from wherry_service.ids import instance_of, new_id
from wherry_service.images import host
from wherry_service.images.builder import ImageBuilder
from wherry_service.images.helpers import HelperImage
from wherry_service.images.prune import Pruner
from wherry_service.images.settings import ImageSettings
from wherry_service.ingress.auth import EitherProxyAuth, StaticProxyAuth, TokenProxyAuth
from wherry_service.ingress.ingress import Ingress
from wherry_service.ingress.settings import HttpSettings
from wherry_service.ingress.tunnels import Tunnels
from wherry_service.logs.masks import Masks
from wherry_service.logs.store import LogStore
from wherry_service.node.bucket_helper import Surroundings
from wherry_service.node.buckets import Buckets
from wherry_service.node.driver_volumes import DriverVolumes
from wherry_service.node.execs import Execs
from wherry_service.node.forwards import Forwards
from wherry_service.node.local import LocalNode
from wherry_service.node.local_container import ConnectGuest, ConnectWeb
from wherry_service.node.local_sandboxes import LocalSandboxes
from wherry_service.node.node import LoadOrder
from wherry_service.node.outbound import Outbounds
from wherry_service.node.sampler import Sampler
from wherry_service.node.tunnel_names import FILE_NAME as TUNNELS_KEY
from wherry_service.node.tunnel_names import TunnelNames
from wherry_service.notify.notifier import Notifier
from wherry_service.notify.settings import NotifySettings
from wherry_service.objects.keys import FILE_NAME, Keys
from wherry_service.objects.objects import Objects
from wherry_service.pools.capacity import Capacity
from wherry_service.pools.pools import Pools
from wherry_service.records.records import CallRecords
from wherry_service.records.settings import RecordSettings
from wherry_service.sandboxes.sandboxes import Sandboxes
from wherry_service.sandboxes.settings import SandboxSettings
from wherry_service.schedules.schedules import Schedules
from wherry_service.schedules.settings import ScheduleSettings
from wherry_service.settings import Settings
from wherry_service.store.apps import AppStore
from wherry_service.store.blobs import BlobStore
from wherry_service.store.bucket import BlobSettings
from wherry_service.store.calls import CallStore
from wherry_service.store.database import Database
from wherry_service.store.deployments import DeploymentStore
from wherry_service.store.environment_records import EnvironmentRecords
from wherry_service.store.environments import EnvironmentStore
from wherry_service.store.image_names import ImageNames
from wherry_service.store.images import ImageStore
from wherry_service.store.sandboxes import SandboxStore
from wherry_service.store.schedules import ScheduleStore
from wherry_service.store.sources import SourceStore
from wherry_service.store.tokens import AuditStore, TokenStore
from wherry_service.store.volumes import VolumeStore
from wherry_service.store.web import WebStore
from wherry_service.store.yields import YieldStore
from wherry_service.tasks import Tasks
from wherry_service.ui.settings import UiSettings

MakeEngine = Callable[[VolumeDriver | None, OwnNetwork], Engine]


class StopRequest:
    """Whether the service was asked to stop, and whether at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = False

    def ask(self, force: bool) -> None:
        """Ask for it; a second time, or with force, running inputs are not waited for."""
        self.at_once = self.at_once or force or self.asked.is_set()
        self.asked.set()


@dataclass(frozen=True, slots=True)
class Basics:
    """What every floor may use."""

    state_dir: Path
    settings: Settings
    http: HttpSettings
    ui: UiSettings
    # Of this life of the service.
    instance_id: str
    stop: StopRequest
    # What runs beside everything else, until the service ends.
    tasks: Tasks
    # Who tells the webhook of what went wrong.
    notifier: Notifier


@dataclass(frozen=True, slots=True)
class Stores:
    """What is on disk."""

    database: Database
    blobs: BlobStore
    sources: SourceStore
    volumes: VolumeStore
    logs: LogStore
    masks: Masks

    def begin(self) -> None:
        """Open them. First what may refuse: the others have threads that would keep the process."""
        self.blobs.begin()
        self.volumes.begin()
        self.logs.begin()
        self.database.begin()


@dataclass(frozen=True, slots=True)
class Machine:
    """The engine, what is made of it, and what containers are given."""

    engine: Engine
    network: OwnNetwork
    objects: Objects
    builder: ImageBuilder
    image_settings: ImageSettings
    node: LocalNode
    sandbox_node: LocalSandboxes
    capacity: Capacity


@dataclass(frozen=True, slots=True)
class Work:
    """What runs in containers, and who asked for it."""

    pools: Pools[Input]
    sandboxes: Sandboxes
    forwards: Forwards
    execs: Execs
    calls: CallStore
    values: Values
    recorded: Recorded
    names: FunctionNames
    failures: Failures
    journal: Journal
    clients: Clients
    dispatcher: Dispatcher
    exchanges: Exchanges
    # Of servers.
    sessions: ServerSessions
    schedules: Schedules
    # What containers use of processors and memory.
    sampler: Sampler


@dataclass(frozen=True, slots=True)
class Published:
    """What is deployed or running under a name."""

    store: AppStore
    web: WebStore
    ingress: Ingress
    tunnels: Tunnels
    health: Health
    apps: Apps
    deployments: Deployments
    replays: Replays
    pruner: Pruner
    image_names: ImageNames
    source_use: SourceUse
    # Of volumes by a driver of Docker's, where they are so.
    driver_volumes: DriverVolumes | None


@dataclass(frozen=True, slots=True)
class Entrances:
    """By which ways clients come in, and what they may."""

    sessions: SessionApi
    environments: Environments
    places: Places
    door: Door
    tokens: Tokens
    # To the web pages.
    logins: Logins


@dataclass(frozen=True, slots=True)
class Parts:
    """All parts of the service, from the ground up."""

    basics: Basics
    stores: Stores
    machine: Machine
    work: Work
    published: Published
    entrances: Entrances


def assemble(
    state_dir: Path,
    settings: Settings,
    connect_guest: ConnectGuest,
    connect_web: ConnectWeb,
    make_engine: MakeEngine = DockerEngine,
) -> Parts:
    """Build the service of a state directory; nothing of it begins before `server.Service.run`.

    `connect_guest` and `connect_web` are asked from then on: what they lead to is built of these parts.
    """
    http = HttpSettings.from_environment(settings.rooms)
    tasks = Tasks("a task of the service failed")
    notifier = Notifier(NotifySettings.from_environment(settings.rooms))
    ui = UiSettings.from_environment(settings.rooms)
    basics = Basics(state_dir, settings, http, ui, new_id("sv"), StopRequest(), tasks, notifier)
    stores = _stores(basics)
    machine = _machine(basics, stores, make_engine, connect_guest, connect_web)
    work = _work(basics, stores, machine)
    tokens = Tokens(TokenStore(stores.database), settings.failed_logins)
    published = _published(basics, stores, machine, work, tokens)
    return Parts(basics, stores, machine, work, published, _entrances(basics, stores, machine, work, published, tokens))


def _stores(basics: Basics) -> Stores:
    state_dir, settings = basics.state_dir, basics.settings
    who = f"process {os.getpid()} on {socket.gethostname()}, for {state_dir}"
    blobs = blobs_of(BlobSettings.from_environment(settings.rooms), state_dir / "blobs")
    return Stores(
        Database(database_url(settings, state_dir), who, _die),
        blobs,
        SourceStore(state_dir / "sources", blobs),
        volumes_of(settings, state_dir),
        LogStore(state_dir / "logs", settings.logs_max_bytes),
        Masks(),
    )


def _machine(
    basics: Basics, stores: Stores, make_engine: MakeEngine, connect_guest: ConnectGuest, connect_web: ConnectWeb
) -> Machine:
    state_dir, settings = basics.state_dir, basics.settings
    instance = instance_of(state_dir / "run")
    ports = open_ports(settings, basics.http)
    reach = NetworkSettings.from_environment(settings.rooms)
    listed = ListedNetwork(reach, instance, state_dir)
    network = OwnNetwork(reach, instance, state_dir, ports, beside=listed)
    engine = make_engine(stores.volumes.driver, network)
    containment = Containment.from_environment(settings.rooms, host_size()[1])
    gpus = Gpus(GpuSettings.from_environment(settings.rooms))
    keys = Keys.take_from(state_dir / FILE_NAME, os.environ)
    objects = Objects(stores.database, stores.blobs, keys, stores.volumes)
    image_settings = ImageSettings.from_environment(settings.rooms)
    builder = ImageBuilder(
        engine,
        state_dir / "images",
        ImageStore(stores.database),
        stores.blobs,
        stores.sources,
        image_settings,
        objects,
        stores.volumes,
        labels={"wherry.instance": instance},
        containment=containment,
        gpus=gpus,
    )
    around = Surroundings(
        engine, instance, state_dir / "buckets", HelperImage(builder), host.proxies(), host.authorities
    )
    node = LocalNode(
        engine,
        state_dir / "run",
        stores.blobs,
        stores.sources,
        stores.volumes,
        Buckets(around),
        stores.masks,
        containment,
        settings.starts_at_once,
        connect_guest,
        connect_web,
    )
    sandbox_node = LocalSandboxes(
        engine,
        instance,
        node.start_slots,
        state_dir / "sandboxes" / "trees",
        stores.sources,
        stores.volumes,
        node.buckets,
        containment,
        Outbounds(listed, host_name_servers),
    )
    capacity = Capacity(*host_size(), Processors().busy, settings.containers_per_core, gpus)
    return Machine(engine, network, objects, builder, image_settings, node, sandbox_node, capacity)


def _work(basics: Basics, stores: Stores, machine: Machine) -> Work:
    database, rooms = stores.database, basics.settings.rooms
    pools: Pools[Input] = Pools(machine.node, machine.capacity)
    sandboxes = Sandboxes(
        SandboxStore(database),
        machine.sandbox_node,
        machine.capacity,
        machine.builder,
        basics.state_dir / "sandboxes",
        SandboxSettings.from_environment(rooms),
        machine.objects,
    )
    use = ContainerUse(pools, sandboxes)
    calls = CallStore(database)
    values = Values(YieldStore(database), stores.blobs)

    def load_of(function_id: str) -> LoadOrder | None:
        pool = pools.get(function_id)
        return pool.plan.load if pool is not None else None

    async def address_of(container_id: str) -> str:
        engine_id = machine.node.engine_id(container_id)
        status = await machine.engine.inspect(engine_id) if engine_id else None
        return status.address if status is not None else ""

    diary = Diary(stores.logs, stores.masks)
    names = FunctionNames()
    records = CallRecords(RecordSettings.from_environment(rooms), names.subject)
    recorder = Recorder(records, names.version, diary.line)
    failures = Failures.of(database, stores.blobs, rooms)
    journal = Journal(calls, stores.blobs, values, load_of, recorder, failures)
    clients = Clients()
    dispatcher = Dispatcher(pools, clients, journal, diary, QueueLimit())
    return Work(
        pools,
        sandboxes,
        Forwards(address_of, sandboxes.settings.tunnel_host),
        Execs(machine.engine, use.begin, use.end),
        calls,
        values,
        recorded_by(journal, dispatcher, pools, database),
        names,
        failures,
        journal,
        clients,
        dispatcher,
        Exchanges(journal, dispatcher, basics.http.queue_limit),
        ServerSessions(dispatcher),
        Schedules(ScheduleStore(database), journal, dispatcher, ScheduleSettings.from_environment(rooms)),
        Sampler(machine.engine, basics.settings.sample_s, pools.whose, machine.node.engine_id),
    )


def _published(basics: Basics, stores: Stores, machine: Machine, work: Work, tokens: Tokens) -> Published:
    database, http = stores.database, basics.http
    web, endpoints = WebStore(database), Endpoints(Site())
    auth = EitherProxyAuth(StaticProxyAuth(http.proxy_tokens), TokenProxyAuth(tokens.invokes))
    names = TunnelNames(basics.state_dir / TUNNELS_KEY)
    tunnels = Tunnels(names, endpoints, {"sb": work.sandboxes.target, "co": work.forwards.target})

    async def database_answers() -> bool:
        return bool(await database.read(lambda connection: connection.scalar(sa.text("select 1"))))

    async def engine_answers() -> bool:
        return (await machine.engine.status()).reachable

    health = Health({"database": database_answers, "engine": engine_answers}, basics.stop.asked.is_set)
    ingress = Ingress(
        http,
        endpoints,
        work.exchanges,
        web,
        stores.blobs,
        basics.state_dir,
        auth,
        by_query := ByQuery(),
        work.sessions,
        tunnels,
        RequestLog(stores.logs, stores.masks, work.dispatcher, work.clients),
        health,
    )
    store = AppStore(database)

    def app_stopped(app_id: str) -> None:
        stores.masks.forget(app_id)
        stores.logs.end_app(app_id)

    apps = Apps(
        Beside(
            store,
            work.dispatcher,
            work.pools,
            machine.node,
            machine.builder.ready,
            machine.objects,
            work.sandboxes,
            work.schedules,
            endpoints,
            ingress.ready,
            app_stopped,
            stores.masks.add,
        )
    )
    by_query.begin(apps.binding)
    work.names.begin(apps.register)
    begin_failures(work.failures, apps.register, work.journal, work.dispatcher, stores.masks)
    Departures(work.clients, work.journal, work.dispatcher, apps, machine.objects.register, basics.tasks)
    deployments = Deployments(apps, store, DeploymentStore(database), work.pools, work.dispatcher)
    replays = Replays(work.failures, apps, store, deployments, work.dispatcher.gate, stores.sources)

    image_names = ImageNames(database)

    async def images_in_use() -> set[str]:
        running = set(apps.register.by_image()) | work.sandboxes.register.image_ids()
        return running | await deployments.store.image_ids() | await image_names.image_ids()

    builder, records = machine.builder, (deployments.store, machine.builder.records)
    pruner = Pruner(machine.engine, builder, images_in_use)
    source_use = SourceUse(stores.sources, apps.register, work.pools, work.sandboxes, *records)
    driver_volumes = None
    if stores.volumes.driver is not None:
        register = machine.objects.register
        driver_volumes = DriverVolumes(machine.engine, {"wherry.instance": machine.node.instance}, register.exists)
        register.on_gone.append(driver_volumes.gone)
    return Published(
        store,
        web,
        ingress,
        tunnels,
        health,
        apps,
        deployments,
        replays,
        pruner,
        image_names,
        source_use,
        driver_volumes,
    )


def _entrances(
    basics: Basics, stores: Stores, machine: Machine, work: Work, published: Published, tokens: Tokens
) -> Entrances:
    database, apps, recorded = stores.database, published.apps, work.recorded
    places = Places(EnvironmentStore(database), work.journal, work.pools, work.sandboxes, stores.logs, recorded.reader)
    environments = Environments(
        EnvironmentRecords(database),
        apps,
        work.sandboxes,
        machine.objects,
        (places, tokens, recorded.records, work.failures),
    )
    door = Door(
        basics.settings,
        basics.state_dir,
        tokens,
        environments.expect,
        AuditStore(database),
        places,
        RequestContext(apps.register, work.journal, work.clients, stores.sources),
    )
    sessions = SessionApi(work.clients, work.journal, work.dispatcher, basics.instance_id)
    logins = Logins(basics.state_dir / SESSIONS, basics.ui.session_hours)
    return Entrances(sessions, environments, places, door, tokens, logins)


def _die() -> None:
    """End as if killed, which loses nothing: what this service does from here on would not be written down."""
    os._exit(1)
