"""A node whose containers do what a test tells them."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from wherry_proto.messages import Failure, FailureKind, Format, Payload
from wherry_service.engines.engine import Engine
from wherry_service.node.bucket_helper import Surroundings, nowhere
from wherry_service.node.buckets import Buckets
from wherry_service.node.events import ContainerExit, Hearer, OutputRow
from wherry_service.node.node import Assignment, ContainerOrder, FoundContainer, LoadOrder, NodeContainer


def payload(data: bytes = b"x") -> Payload:
    return Payload(format=Format.PICKLE, data=data, size=len(data))


class Telling:
    """Tells whom it concerns what a test says of one container, as `container.events.on_ready(0.01)`."""

    def __init__(self, hearer: Hearer[Any]) -> None:
        self._hearer = hearer

    def __getattr__(self, event: str) -> Callable[..., None]:
        events = self._hearer.lines if event == "on_log" else self._hearer.events
        return partial(getattr(events, event), self._hearer.container)


class FakeContainer:
    """Holds what it is sent until the test says what becomes of it."""

    def __init__(self, container_id: str, hearer: Hearer[Any], load: LoadOrder) -> None:
        self.container_id = container_id
        self.events = Telling(hearer)
        self.load = load
        self.inputs: list[Assignment] = []
        self.cancelled: list[str] = []
        self.kept_answers: list[str] = []
        self.recalls = 0
        self.draining = False
        self.paused = False
        self.connected = False
        self.exited = False

    # What the test says

    def connect(self) -> None:
        self.connected = True
        self.events.on_connected([], False)
        self.events.on_ready(0.01)

    def fail_to_load(self) -> None:
        """Have the import of the user's code raise."""
        self.connected = True
        self.events.on_connected([], False)
        failure = Failure(kind=FailureKind.EXCEPTION, type_name="builtins.ImportError", message="no such module")
        self.events.on_load_failed(failure)
        self.exit(ContainerExit(exit_code=1))

    def finish(self, count: int | None = None) -> None:
        """Answer the first `count` inputs, or all."""
        done, self.inputs = self.inputs[:count], self.inputs[len(self.inputs) if count is None else count :]
        if done:
            self.events.on_outputs([OutputRow(item.input_id, payload(b"out"), 0) for item in done])
        if self.draining and not self.inputs:
            self.exit(ContainerExit(exit_code=0))

    def fail(self, kind: FailureKind = FailureKind.EXCEPTION) -> None:
        """Have the first input raise."""
        item = self.inputs.pop(0)
        failure = Failure(kind=kind, type_name="ValueError", message="no")
        self.events.on_failure(item.input_id, failure, 0)

    def answer_cancelled(self, input_id: str) -> None:
        """Say that an input was cancelled."""
        self.inputs = [item for item in self.inputs if item.input_id != input_id]
        self.events.on_failure(input_id, Failure(kind=FailureKind.CANCELLED, message="the input was cancelled"), 0)

    def exit(self, exit: ContainerExit) -> None:
        if not self.exited:
            self.exited = True
            self.connected = False
            self.events.on_exit(exit)

    # node.NodeContainer

    def send(self, inputs: Sequence[Assignment]) -> None:
        self.inputs.extend(inputs)

    def cancel(self, input_ids: Sequence[str]) -> None:
        self.cancelled.extend(input_ids)

    def recall(self) -> None:
        self.recalls += 1
        running = 1 if self.load.max_batch_size else self.load.concurrency
        back, self.inputs = self.inputs[running:], self.inputs[:running]
        self.events.on_returned([item.input_id for item in back])

    def taken(self, rows: Sequence[tuple[str, int]]) -> None:
        pass

    def kept(self, input_ids: Sequence[str]) -> None:
        self.kept_answers.extend(input_ids)

    def drain(self) -> None:
        self.draining = True
        if not self.inputs:
            asyncio.get_running_loop().call_soon(self.exit, ContainerExit(exit_code=0))

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def kill(self, reason: str) -> None:
        asyncio.get_running_loop().call_soon(self.exit, ContainerExit(exit_code=137, reason=reason))

    def is_connected(self) -> bool:
        return self.connected


class FakeNode:
    """Implements `node.Node`; with `auto` containers connect as soon as they are started."""

    def __init__(self, auto: bool = True) -> None:
        self.auto = auto
        self.containers: list[FakeContainer] = []
        # What each container was ordered with, by its id.
        self.orders: dict[str, ContainerOrder] = {}
        # Qualified names of functions that can't be imported.
        self.broken: set[str] = set()

    def running(self) -> list[FakeContainer]:
        return [container for container in self.containers if not container.exited]

    def start(self, order: ContainerOrder, hearer: Hearer[Any]) -> NodeContainer:
        container = FakeContainer(order.container_id, hearer, order.load)
        self.containers.append(container)
        self.orders[order.container_id] = order
        if self.auto:
            broken = order.load.qualname in self.broken
            asyncio.get_running_loop().call_soon(container.fail_to_load if broken else container.connect)
        return container

    async def find(self) -> list[FoundContainer]:
        return []

    def adopt(self, found: FoundContainer, load: LoadOrder, hearer: Hearer[Any]) -> NodeContainer:
        container = FakeContainer(found.container_id, hearer, load)
        self.containers.append(container)
        return container

    async def discard(self, container_id: str) -> None:
        pass

    def known(self, label: str, value: str) -> list[str]:
        return [f"wherry-{container.container_id}" for container in self.running()]

    async def left_over(self, label: str, value: str) -> list[str]:
        return []

    async def close(self) -> None:
        pass


def no_web(container_id: str, app_id: str) -> Callable[[], asyncio.Protocol]:
    """Nothing answers requests to web endpoints."""
    return asyncio.Protocol


def no_guests(container_id: str, app_id: str) -> asyncio.Protocol:
    """Answer nothing that a container asks for."""
    return asyncio.Protocol()


def no_buckets(engine: Engine, folder: Path) -> Buckets:
    """Return those of a node that has no image of helpers: none can be mounted."""
    return Buckets(Surroundings(engine, "instance", folder / "buckets", nowhere, {}, lambda: ""))
