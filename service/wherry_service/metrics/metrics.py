"""Metrics as a part of the service: nothing of it is loaded, and nothing counted, unless they are on."""

import contextlib

from wherry_service.apps.register import AppRegister
from wherry_service.assembly import Parts
from wherry_service.forward.forwarder import Forwarder
from wherry_service.metrics.labels import Labels, Named
from wherry_service.metrics.settings import MetricsSettings
from wherry_service.metrics.watching import Watching


class Metrics:
    """Begins with the service, if `metrics.listen` says so."""

    def __init__(self, parts: Parts, forwarder: Forwarder) -> None:
        self._parts = parts
        self._forwarder = forwarder
        self.settings = MetricsSettings.from_environment(parts.basics.settings.rooms)
        # Where they answer, once they do.
        self.port = 0

    def begin(self, ends: contextlib.AsyncExitStack) -> None:
        """Listen and count, if they are on, until `ends` is closed; raise `Unready` where that can't be."""
        if self.settings.address is None:
            return
        from wherry_service.metrics.collector import Collector  # noqa: PLC0415 - start-up cost: 30 ms, where metrics are on
        from wherry_service.metrics.server import Exposition, MetricsServer  # noqa: PLC0415 - start-up cost: as above

        parts = self._parts
        named = Named(RunningFunctions(parts.published.apps.register), self.settings.max_functions)
        watching = Watching(named)
        collector = Collector(parts, named, watching, self._forwarder)
        app = Exposition(self.settings, collector.collect, parts.entrances.tokens, parts.published.health)
        server = MetricsServer(self.settings, app)
        server.begin()
        ends.push_async_callback(server.close)
        self.port = server.port
        self._watch(watching)

    def _watch(self, watching: Watching) -> None:
        parts = self._parts
        parts.work.dispatcher.watchers.append(watching)
        parts.published.ingress.traffic.on_answered.append(watching.on_answered)
        parts.machine.builder.on_ended.append(watching.on_built)
        parts.published.deployments.on_deployed.append(watching.on_deployed)
        parts.published.deployments.on_failed.append(watching.on_deploy_failed)
        parts.work.sampler.on_used.append(watching.on_used)
        gpus, pools = parts.machine.capacity.gpus, parts.work.pools
        parts.basics.tasks.spawn(watching.look_at_gpus(lambda: any(gpus.ids_of(one) for one, _ in pools.whose())))
        parts.basics.tasks.spawn(watching.look())


class RunningFunctions:
    """What running functions are called."""

    def __init__(self, register: AppRegister) -> None:
        self._register = register

    def labels(self, function_id: str) -> Labels:
        """Return a function's labels; raise `NotFound`."""
        app, record = self._register.find(function_id)
        return Labels(app.record.environment, app.record.name, record.name)
