"""Reads the parts of the service when somebody asks for metrics; nothing is read in between."""

import os
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CollectorRegistry, Metric

from wherry_service import __version__
from wherry_service.assembly import Parts
from wherry_service.calls.call import Input
from wherry_service.engines.docker import DockerEngine
from wherry_service.forward.forwarder import Forwarder
from wherry_service.health import OK
from wherry_service.metrics.families import Row, counter, gauge, histogram
from wherry_service.metrics.inputs import counted, families
from wherry_service.metrics.labels import NAMES, Named
from wherry_service.metrics.watching import Watching
from wherry_service.pools.pool import Pool
from wherry_service.store import kept


class Collector:
    """All metrics of the service, by part."""

    def __init__(self, parts: Parts, named: Named, watching: Watching, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self._parts = parts
        self._named = named
        self._watching = watching
        # This process: processor, memory, files, and Python itself.
        self._process = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._process)

    async def collect(self) -> Callable[[], Iterator[Metric]]:
        """Return what makes all families, in a thread: of many functions that takes longer than others can wait.

        Asks the engine and the database whether they answer; the rest is in memory.
        """
        of_inputs = counted(self._parts.work.recorded.records, self._named)
        of_functions = [*self._functions(), *self._containers(), *self._usage(), *self._http()]
        of_service = [*self._builds(), *self._beside(), *self._stores(), *await self._machine()]
        return lambda: chain(families(of_inputs), of_functions, of_service, self._process.collect())

    # What is asked

    def _functions(self) -> Iterator[Metric]:
        waiting, running, retrying, size = [], [], [], []
        for pool in self._parts.work.pools:
            labels = self._named.of(pool.plan.function_id)
            running.append((labels, float(_running(pool))))
            queue = self._parts.work.dispatcher.queue(pool.plan.function_id)
            if queue is not None and queue.pool is pool:
                waiting.append((labels, float(len(queue))))
                retrying.append((labels, float(queue.num_retrying)))
                size.append((labels, float(queue.num_bytes)))
        yield gauge("wherry_inputs_waiting", "Inputs that wait for a container.", waiting, NAMES)
        yield gauge("wherry_inputs_running", "Inputs that containers hold.", running, NAMES)
        yield gauge("wherry_inputs_retrying", "Inputs that failed and wait for their next attempt.", retrying, NAMES)
        yield gauge("wherry_queue_bytes", "Bytes of the arguments that wait in memory.", size, NAMES)

    def _containers(self) -> Iterator[Metric]:
        states: list[Row] = []
        for pool in self._parts.work.pools:
            labels = self._named.of(pool.plan.function_id)
            # Also 0: a graph of an idle function shows that there is none.
            states.append(((*labels, "idle"), 0))
            states += [((*labels, str(one.state)), 1) for one in pool.containers.values()]
        seen, names = self._watching, (*NAMES, "state")
        yield gauge("wherry_containers", "Containers of functions, by what they do.", states, names)
        yield counter("wherry_container_starts", "Containers whose code was imported.", seen.starts, NAMES)
        rows = [((*labels, phase), one) for (labels, phase), one in seen.start_seconds]
        text = "Seconds until a new container's own program answers (engine), and that its code takes (import)."
        yield histogram("wherry_container_start_seconds", text, rows, (*NAMES, "phase"))
        exits = [((*labels, reason), count) for (labels, reason), count in seen.exits]
        yield counter("wherry_container_exits", "Containers that ended, by how.", exits, (*NAMES, "reason"))

    def _usage(self) -> Iterator[Metric]:
        gpus, seen_gpus = self._parts.machine.capacity.gpus, self._watching.gpus
        memory: list[Row] = []
        busy: list[Row] = []
        gpu_memory: list[Row] = []
        for container_id, function_id in self._parts.work.pools.whose():
            if (seen := self._parts.work.sampler.latest(container_id)) is not None:
                memory.append((self._named.of(function_id), seen[0].memory_bytes))
            for use in (seen_gpus[one] for one in gpus.ids_of(container_id) if one in seen_gpus):
                busy.append((self._named.of(function_id), use.busy))
                gpu_memory.append((self._named.of(function_id), use.memory_bytes))
        yield gauge("wherry_container_gpus_busy", "GPUs' worth of work that containers' GPUs do.", busy, NAMES)
        text = "Memory that is used of the GPUs that containers have."
        yield gauge("wherry_container_gpu_memory_bytes", text, gpu_memory, NAMES)
        text = "Processor time that containers have used, as seen from time to time."
        yield counter("wherry_container_cpu_seconds", text, self._watching.used, NAMES)
        text = "Memory that containers use, as seen from time to time, without page cache that can be had back."
        yield gauge("wherry_container_memory_bytes", text, memory, NAMES)

    def _http(self) -> Iterator[Metric]:
        traffic, seen = self._parts.published.ingress.traffic, self._watching
        rows = [((*labels, method, code), count) for (labels, method, code), count in seen.answered]
        text = "Requests to web endpoints that are over; the code is `gone` where the client did not wait."
        yield counter("wherry_http_requests", text, rows, (*NAMES, "method", "code"))
        text = "Seconds from a request's head to the end of its response."
        yield histogram("wherry_http_request_seconds", text, seen.answer_seconds, NAMES)
        yield gauge("wherry_http_in_flight", "Requests that are being answered.", [((), traffic.num_open)])
        yield gauge("wherry_websockets_open", "Websockets that are open.", [((), traffic.num_sockets)])

    def _builds(self) -> Iterator[Metric]:
        seen, builder = self._watching, self._parts.machine.builder
        builds = [((outcome,), count) for outcome, count in seen.builds]
        yield counter("wherry_image_builds", "Builds of images that ended, by how.", builds, ("outcome",))
        rows = [((), seen.build_seconds)]
        yield histogram("wherry_image_build_seconds", "Seconds that builds of images took.", rows)
        yield gauge("wherry_images_building", "Builds that run.", [((), builder.num_building)])
        deploys = list(seen.deploys)
        names = ("environment", "app", "outcome")
        yield counter("wherry_deploys", "New versions of apps, by what became of them.", deploys, names)

    def _beside(self) -> Iterator[Metric]:
        work, entrances = self._parts.work, self._parts.entrances
        delays = [(self._named.of(function_id), delay) for function_id, delay in work.schedules.delays().items()]
        yield gauge("wherry_schedule_lag_seconds", "Seconds for which a scheduled run is due.", delays, NAMES)
        states: list[Row] = [(("main", "running"), 0)]
        for one in work.sandboxes.register:
            state = "ended" if one.ended.is_set() else "running" if one.has_room else "waiting"
            states.append(((one.record.environment, state), 1))
        yield gauge("wherry_sandboxes", "Sandboxes, by what they do.", states, ("environment", "state"))
        sessions = sum(1 for client in work.clients if client.connected)
        yield gauge("wherry_sessions", "Programs that are connected to call functions.", [((), sessions)])
        yield gauge("wherry_execs", "Shells and commands that run in containers.", [((), len(work.execs))])
        tokens = entrances.tokens
        logins: list[Row] = [(("proven",), tokens.num_proven), (("refused",), tokens.num_refused)]
        yield counter("wherry_logins", "Tokens that were shown, by whether they are valid.", logins, ("outcome",))

    # What is kept

    def _stores(self) -> Iterator[Metric]:
        logs, database = self._parts.stores.logs, self._parts.stores.database
        yield counter("wherry_log_lines", "Lines that containers have printed.", [((), logs.num_lines)])
        yield counter("wherry_log_bytes", "Bytes of those lines.", [((), logs.num_bytes)])
        sent: list[Row] = [((way.name, "sent"), way.num_sent) for way in self._forwarder.ways]
        sent += [((way.name, "dropped"), way.num_dropped) for way in self._forwarder.ways]
        text = "Lines of logs that were sent on, and that were dropped since they could not be."
        yield counter("wherry_forwarded_lines", text, sent, ("way", "outcome"))
        rows = [((), database.commits)]
        yield histogram("wherry_db_commit_seconds", "Seconds that transactions took to be committed.", rows)
        yield gauge("wherry_db_queue", "Writes that wait for the next transaction.", [((), database.num_waiting)])

    # What it runs on

    async def _machine(self) -> list[Metric]:
        machine, basics = self._parts.machine, self._parts.basics
        await self._parts.published.health.ready()
        found = self._parts.published.health.found
        up: list[Row] = [((), float(found.get("engine") == OK))]
        rows = [gauge("wherry_engine_up", "1 if the container engine answers.", up)]
        up = [((), float(found.get("database") == OK))]
        rows.append(gauge("wherry_db_up", "1 if the database answers.", up))
        if isinstance(machine.engine, DockerEngine):
            asked = [((call,), one) for call, one in machine.engine.requests]
            text = "Seconds that requests to the engine took, by kind."
            rows.append(histogram("wherry_engine_call_seconds", text, asked, ("call",)))
        cores, free_cores, memory, free_memory, busy = machine.capacity.load()
        kinds = ("kind",)
        told: list[Row] = [(("total",), cores), (("reserved",), cores - free_cores)]
        rows.append(gauge("wherry_host_cores", "Cores for containers, and those set aside by cpu=.", told, kinds))
        told = [(("total",), memory << 20), (("reserved",), (memory - free_memory) << 20)]
        rows.append(gauge("wherry_host_memory_bytes", "Memory for containers, and what is asked for.", told, kinds))
        text = "The part of the processors' time that is used, from 0 to 1."
        rows.append(gauge("wherry_host_processors_busy_ratio", text, [((), busy)]))
        rows += _disk(basics.state_dir)
        text = "Seconds by which the service's event loop was late, looked at twice a second."
        rows.append(histogram("wherry_event_loop_lag_seconds", text, [((), self._watching.lag)]))
        about: list[Row] = [((__version__,), 1)]
        rows.append(gauge("wherry_build_info", "1, and the version that runs.", about, ("version",)))
        return rows


def _running(pool: Pool[Input]) -> int:
    return sum(len(one.held) for one in pool.containers.values())


def _disk(state_dir: Path) -> list[Metric]:
    free, total = kept.free_bytes(state_dir)
    found = [
        gauge("wherry_state_disk_free_bytes", "Free bytes of the state directory's disk.", [((), free)]),
        gauge("wherry_state_disk_bytes", "All bytes of the state directory's disk.", [((), total)]),
    ]
    database = state_dir / "wherry.db"
    if database.exists():
        size = float(os.stat(database).st_size)
        found.append(gauge("wherry_db_bytes", "Bytes of the database's file.", [((), size)]))
    return found
