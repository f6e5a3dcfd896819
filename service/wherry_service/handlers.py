"""The table of rpcs: every method that the service has, by name."""

from wherry_proto.messages import CallGraph, CallGraphRequest
from wherry_service.api.apps import AppApi
from wherry_service.api.blobs import BlobApi
from wherry_service.api.containers import ContainerApi
from wherry_service.api.deployments import DeploymentApi
from wherry_service.api.edge import Handler
from wherry_service.api.environments import EnvironmentApi, within
from wherry_service.api.execs import ExecApi
from wherry_service.api.guests import Guests
from wherry_service.api.images import ImageApi
from wherry_service.api.info import Isolation, ServerApi
from wherry_service.api.logs import LogApi
from wherry_service.api.objects import object_handlers
from wherry_service.api.sandboxes import SandboxApi
from wherry_service.api.schedules import ScheduleApi
from wherry_service.api.terminals import Terminals
from wherry_service.assembly import Parts
from wherry_service.calls.journal import Journal
from wherry_service.ids import check_id


class Handlers:
    """All methods: `shared` by all ways in, those that are otherwise `here`, on this machine; and containers' own."""

    def __init__(self, parts: Parts) -> None:
        work, apps = parts.work, parts.published.apps.register
        terminals = Terminals(apps, work.pools)
        containers = ContainerApi(apps, work.pools, parts.machine.node)
        execs = ExecApi(work.execs, {"sb": work.sandboxes.engine_id, "co": containers.engine_id})
        table = within(parts.entrances.environments, {**_table(parts, containers), "Execs.Run": execs.run})
        self.shared: dict[str, Handler] = {**table, **terminals.handlers()}
        self.here: dict[str, Handler] = {"Execs.Run": execs.run_here}
        self.guests = Guests(
            self.shared, parts.entrances.sessions, apps, work.journal, parts.entrances.places, terminals
        )


def _table(parts: Parts, containers: ContainerApi) -> dict[str, Handler]:
    stores, machine, work, published = parts.stores, parts.machine, parts.work, parts.published
    running = published.apps.register
    apps = AppApi(published.apps, published.deployments, work.clients, work.dispatcher)
    blobs = BlobApi(stores.blobs, stores.sources)
    keep_days = machine.image_settings.keep_days
    images = ImageApi(machine.builder, machine.engine, published.pruner, keep_days, running.by_image)
    info = ServerApi(
        parts.basics.instance_id,
        parts.basics.state_dir,
        stores.blobs.handover_dir,
        machine.engine,
        running,
        lambda: work.pools.num_containers + len(work.sandboxes.register),
        parts.basics.stop.ask,
        Isolation(machine.node.containment, work.sandboxes.settings.runtime, machine.network),
    )
    logs = LogApi(stores.logs, published.store, running, work.pools)
    return {
        **parts.entrances.door.handlers(),
        "Calls.Session": parts.entrances.sessions.serve,
        "Calls.Graph": _Graphs(work.journal).graph,
        "Calls.Values": work.values.serve,
        "Apps.Open": apps.open,
        "Apps.Publish": apps.publish,
        "Apps.Stop": apps.stop,
        "Apps.List": apps.list,
        "Apps.Show": apps.show,
        **DeploymentApi(published.deployments, published.store).handlers(),
        "Functions.Lookup": apps.lookup,
        "Functions.Stats": apps.stats,
        "Functions.Bind": apps.bind,
        "Functions.Update": apps.update,
        "Images.Ensure": images.ensure,
        "Images.Show": images.show,
        "Images.List": images.list,
        "Images.Logs": images.logs,
        "Images.Prune": images.prune,
        **SandboxApi(work.sandboxes, running).handlers(),
        "Containers.List": containers.list,
        "Containers.Stop": containers.stop,
        "Blobs.Missing": blobs.missing,
        "Blobs.Put": blobs.put,
        "Blobs.Get": blobs.get,
        "Blobs.Adopt": blobs.adopt,
        "Blobs.Locate": blobs.locate,
        "Blobs.PutSource": blobs.put_source,
        "Logs.Read": logs.read,
        **object_handlers(machine.objects, running, work.clients),
        **EnvironmentApi(parts.entrances.environments).handlers(),
        **ScheduleApi(work.schedules, running).handlers(),
        "Server.Info": info.info,
        "Server.Stop": info.stop,
    }


class _Graphs:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def graph(self, request: CallGraphRequest) -> CallGraph:
        return await self._journal.graph(check_id(request.call_id, "fc", "call id"))
