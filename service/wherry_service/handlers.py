"""The rpcs as they are served by each way in."""

from collections.abc import Callable

from wherry_proto.messages import HostLoad
from wherry_service.api.apps import AppApi
from wherry_service.api.blobs import BlobApi
from wherry_service.api.callers import Callers
from wherry_service.api.calls import CallApi
from wherry_service.api.chain import chained
from wherry_service.api.containers import ContainerApi
from wherry_service.api.dashboard import DashboardApi
from wherry_service.api.deployments import DeploymentApi
from wherry_service.api.disk import DiskApi
from wherry_service.api.environments import EnvironmentApi, ExpectedEnvironment
from wherry_service.api.execs import ExecApi
from wherry_service.api.guest_sandboxes import GuestSandboxes
from wherry_service.api.guests import Guests
from wherry_service.api.image_names import ImageNameApi
from wherry_service.api.images import ImageApi
from wherry_service.api.info import Isolation, ServerApi
from wherry_service.api.logs import LogApi
from wherry_service.api.objects import object_handlers
from wherry_service.api.records import RecordApi
from wherry_service.api.replays import ReplayApi
from wherry_service.api.rpc import Handler, handlers_of
from wherry_service.api.sandboxes import SandboxApi
from wherry_service.api.schedules import ScheduleApi
from wherry_service.api.terminals import Terminals
from wherry_service.api.usages import Usages
from wherry_service.assembly import Parts
from wherry_service.ingress.own import FOLDER
from wherry_service.ui.site import NAME


class Handlers:
    """All rpcs, by each way in with what stands before them there."""

    def __init__(self, parts: Parts) -> None:
        work, entrances, apps = parts.work, parts.entrances, parts.published.apps.register
        terminals = Terminals(apps, work.pools)
        containers = ContainerApi(
            apps,
            work.pools,
            parts.machine.node,
            work.forwards,
            parts.published.tunnels,
            parts.published.ingress.ready,
            Usages(parts.machine.engine),
            work.sampler,
        )
        sandboxes = work.sandboxes
        execs = ExecApi(work.execs, {"sb": sandboxes.engine_id, "co": containers.engine_id}, sandboxes)
        table = _table(parts) | handlers_of(containers) | handlers_of(execs) | handlers_of(terminals)
        expected, notes = ExpectedEnvironment(entrances.environments), entrances.door.notes
        # Over TCP; `Access` stands before them for each request, since that has a token.
        self.over_tcp = chained(table, expected)
        # On wherry.sock and on local.sock, for the service's own user.
        self.over_grpc = chained(table, notes, expected)
        self.over_frames = chained({**table, "Execs.Run": execs.run_here}, notes, expected)
        # From within this process, for who came by HTTP.
        self.callers = Callers(self.over_grpc, self.over_tcp, entrances.door.access)
        # From inside containers; `Guest` stands before them for each container.
        inside = chained(table, expected)
        for_guests = GuestSandboxes(
            work.sandboxes,
            apps,
            work.pools,
            entrances.places,
            parts.machine.builder.settled,
            parts.published.tunnels,
            parts.published.ingress.ready,
        )
        self.guests = Guests(inside, entrances.sessions, apps, work.journal, entrances.places, terminals, for_guests)


def _table(parts: Parts) -> dict[str, Handler]:
    """Return what needs nothing of the other ways in, without what stands before it."""
    stores, machine, work, published = parts.stores, parts.machine, parts.work, parts.published
    running = published.apps.register
    keep_days = machine.image_settings.keep_days
    info = ServerApi(
        parts.basics.instance_id,
        parts.basics.state_dir,
        stores.blobs.handover_dir,
        machine.engine,
        running,
        lambda: work.pools.num_containers + len(work.sandboxes.register),
        parts.basics.stop.ask,
        Isolation(machine.node.containment, work.sandboxes.settings.runtime, machine.network),
        lambda: _load(parts),
    )
    served = (
        AppApi(
            published.apps,
            published.deployments,
            work.clients,
            work.dispatcher,
            work.sessions,
            machine.objects.register.name_of,
        ),
        BlobApi(stores.blobs, stores.sources),
        CallApi(work.journal, work.values),
        DashboardApi(parts.entrances.logins, pages_of(parts), published.ingress.ready),
        DeploymentApi(published.deployments, published.store),
        DiskApi(parts.basics.state_dir, parts.basics.settings.volumes_dir, machine.engine),
        EnvironmentApi(parts.entrances.environments),
        ImageApi(machine.builder, machine.engine, published.pruner, keep_days, running.by_image),
        ImageNameApi(published.image_names, machine.builder),
        LogApi(stores.logs, published.store, running, work.pools),
        RecordApi(work.recorded, stores.logs, published.store, work.failures.store),
        ReplayApi(published.replays, published.store),
        SandboxApi(work.sandboxes, running, published.tunnels, published.ingress.ready),
        ScheduleApi(work.schedules, running),
        parts.entrances.door.team(),
        parts.entrances.sessions,
        info,
    )
    table = object_handlers(machine.objects, running, work.clients)
    for api in served:
        table |= handlers_of(api)
    return table


def pages_of(parts: Parts) -> Callable[[], tuple[str, str]] | None:
    """Return what tells where the dashboard is, at its name and at an address; None if it is off."""

    def places() -> tuple[str, str]:
        site = parts.published.ingress.site
        plain = site.origin.replace("//localhost", "//127.0.0.1") + FOLDER + NAME
        return site.own or plain, plain

    return places if parts.basics.ui.enabled else None


def _load(parts: Parts) -> HostLoad:
    cores, free_cores, memory_mib, free_memory_mib, busy = parts.machine.capacity.load()
    return HostLoad(
        cores=cores,
        free_cores=free_cores,
        memory_mib=memory_mib,
        free_memory_mib=free_memory_mib,
        busy=busy,
        num_waiting=parts.work.dispatcher.num_waiting,
    )
