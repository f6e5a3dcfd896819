"""Counts what happens while metrics are on: nobody else asks for it."""

import asyncio
from collections.abc import Callable

from wherry_service.apps.app import App
from wherry_service.apps.endpoints import Endpoint
from wherry_service.calls.call import Input
from wherry_service.engines import gpu_use
from wherry_service.engines.gpu_use import GpuUse
from wherry_service.metering import QUICK_S, Counts, Histogram, Histograms
from wherry_service.metrics.labels import OTHER, Labels, Named
from wherry_service.node.events import ContainerExit
from wherry_service.pools.container import Container, State
from wherry_service.pools.events import PoolEvents

# Upper bounds of seconds.
START_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
HTTP_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 150.0)
BUILD_S = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
# Seconds between two looks at whether the event loop is late.
LOOK_EVERY_S = 0.5
# Between two looks at the GPUs.
GPUS_EVERY_S = 10.0
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "WS"})
# Pairs of method and status that one function may have; an app answers what it likes.
MAX_ANSWERS = 40
# Of each counter: far more than there are labels, which are bounded where they are given out.
_MOST = 1_000_000

Answered = tuple[Labels, str, str]


class Watching(PoolEvents[Input]):
    """Hears of containers, requests, builds and deployments."""

    def __init__(self, named: Named) -> None:
        self._named = named
        self.starts: Counts[Labels] = Counts(OTHER, _MOST)
        # By phase: "engine" until the container's own program is there, "import" until the code is.
        self.start_seconds: Histograms[tuple[Labels, str]] = Histograms((OTHER, "engine"), _MOST, START_S)
        self.exits: Counts[tuple[Labels, str]] = Counts((OTHER, "stopped"), _MOST)
        self.answered: Counts[Answered] = Counts((OTHER, "other", "other"), _MOST)
        self.answer_seconds: Histograms[Labels] = Histograms(OTHER, _MOST, HTTP_S)
        self.builds: Counts[str] = Counts("failed", 10)
        for outcome in ("built", "failed"):
            # Else the first one that fails would be no increase.
            self.builds.add(outcome, 0)
        self.build_seconds = Histogram(BUILD_S)
        self.deploys: Counts[tuple[str, str, str]] = Counts(("other", "other", "failed"), _MOST)
        self.lag = Histogram(QUICK_S)
        # Seconds of processor time.
        self.used: Counts[Labels] = Counts(OTHER, _MOST)
        # Of the GPUs that containers have, by number and by UUID.
        self.gpus: dict[str, GpuUse] = {}
        self._answers: dict[Labels, set[tuple[str, str]]] = {}
        named.on_forgotten.append(self._forget)

    def _forget(self, labels: Labels) -> None:
        self.starts.forget(lambda key: key == labels)
        self.start_seconds.forget(lambda key: key[0] == labels)
        self.used.forget(lambda key: key == labels)
        self.exits.forget(lambda key: key[0] == labels)
        self.answered.forget(lambda key: key[0] == labels)
        self.answer_seconds.forget(lambda key: key == labels)
        self._answers.pop(labels, None)

    # PoolEvents

    def on_ready(self, container: Container[Input], seconds: float) -> None:
        labels = self._named.of(container.pool.plan.function_id)
        self.starts.add(labels)
        self.start_seconds.of((labels, "import")).add(seconds)
        began = container.history[0][1]
        came = next((at for state, at in container.history if state is State.STARTING), None)
        if came is not None:
            self.start_seconds.of((labels, "engine")).add(came - began)

    def on_exit(self, container: Container[Input], exit: ContainerExit) -> None:
        self.exits.add((self._named.of(container.pool.plan.function_id), how(exit)))

    # Others

    def on_answered(self, endpoint: Endpoint, method: str, status: int, seconds: float) -> None:
        """Hear of a request or websocket that is over."""
        labels = self._named.bounded(Labels(endpoint.environment, endpoint.app_name, endpoint.name))
        answer = (method if method in METHODS else "other", str(status) if 100 <= status < 600 else "gone")
        known = self._answers.setdefault(labels, set())
        if answer not in known and len(known) >= MAX_ANSWERS:
            answer = ("other", f"{answer[1][0]}xx")
        known.add(answer)
        self.answered.add((labels, *answer))
        if method != "WS":
            self.answer_seconds.of(labels).add(seconds)

    def on_used(self, function_id: str, seconds: float) -> None:
        """Hear of processor time that a container of a function has used."""
        self.used.add(self._named.of(function_id), seconds)

    def on_built(self, outcome: str, seconds: float) -> None:
        """Hear of a build of an image that has ended."""
        self.builds.add(outcome)
        self.build_seconds.add(seconds)

    def on_deployed(self, app: App) -> None:
        """Hear of an app whose new version serves."""
        self._deployed(app, "deployed")

    def on_deploy_failed(self, app: App, error: str) -> None:
        """Hear of an app whose new version did not start."""
        self._deployed(app, "failed")

    def _deployed(self, app: App, outcome: str) -> None:
        # Counted by app, which is bounded like functions are.
        labels = self._named.bounded(Labels(app.record.environment, app.record.name, ""))
        self.deploys.add((labels.environment, labels.app, outcome))

    async def look_at_gpus(self, are_used: Callable[[], bool]) -> None:
        """See again and again how busy GPUs are, while containers have some, until cancelled."""
        while True:
            self.gpus = await asyncio.to_thread(gpu_use.look) if are_used() else {}
            await asyncio.sleep(GPUS_EVERY_S)

    async def look(self) -> None:
        """Measure again and again how late the event loop is, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
            self.lag.add(max(0.0, loop.time() - due))


def how(exit: ContainerExit) -> str:
    """Return how a container ended, in one word."""
    if exit.oom_killed:
        return "oom"
    if exit.not_started:
        return "not_started"
    if exit.reason:
        return "stopped"
    if exit.exit_code == 0:
        return "idle"
    return "signal" if exit.exit_code is not None and exit.exit_code > 128 else "error"
