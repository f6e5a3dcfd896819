"""What the log keeps of a pool's containers: what they print, whose input it belongs to, and how they ended."""

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from wherry_proto.messages import Failure, FailureKind
from wherry_service.calls.call import Input
from wherry_service.logs.batch import LogBatch, LogRow
from wherry_service.logs.masks import Masks
from wherry_service.node.events import UNNEEDED, ContainerExit
from wherry_service.node.node import NodeContainer
from wherry_service.pools.container import Container

_STDERR, _SYSTEM = 2, 3
# How an input ends that its function is to blame for.
_TOLD = (FailureKind.EXCEPTION, FailureKind.TIMEOUT, FailureKind.SERIALIZATION, FailureKind.STARTUP)

# What the service itself says, with nothing of the function's in it.
_OURS = (FailureKind.CANCELLED, FailureKind.NOT_FOUND, FailureKind.EXHAUSTED)


class Log(Protocol):
    """The log store, as far as containers are concerned (see `logs/store.py`)."""

    def append(
        self,
        app_id: str,
        function_id: str,
        container_id: str,
        rows: Sequence[LogRow],
        calls: Mapping[str, str],
        source: NodeContainer | None = None,
    ) -> LogBatch: ...
    def ends(self, container_id: str, at_ms: int, stream: int = 0, input_id: str | None = None) -> list[LogRow]: ...
    def end_container(self, app_id: str, container_id: str) -> None: ...


class Diary:
    """Writes into the log. `masks` hides what tracebacks quote; lines come masked."""

    def __init__(self, logs: Log, masks: Masks) -> None:
        self._logs = logs
        self._masks = masks

    def printed(self, container: Container[Input], rows: Sequence[LogRow]) -> LogBatch:
        """Keep what a container printed; return it as it is told to clients."""
        held = container.held
        calls = {input_id: held[input_id].call_id for _, input_id, _, _, _ in rows if input_id in held}
        load = container.pool.plan.load
        return self._logs.append(load.app_id, load.function_id, container.container_id, rows, calls, container.handle)

    def failed(self, container: Container[Input], input_id: str, failure: Failure) -> str:
        """Keep the traceback of an input that raised, or of code that could not be loaded.

        Return what it was, in a line that may be shown, or "" where its function is not to blame.
        """
        if failure.kind not in _TOLD:
            return ""
        text = failure.traceback
        if not text or failure.kind == FailureKind.TIMEOUT:
            text += f"{failure.type_name}: {failure.message}"
        masker = self._masks.masker(container.pool.plan.load.app_id, container.container_id)
        masked = masker.text(text)
        at_ms = int(time.time() * 1000)
        rows = self._logs.ends(container.container_id, at_ms, _STDERR, input_id)
        rows += ((_STDERR, input_id, at_ms, line, False) for line in masked.splitlines())
        self.printed(container, rows)
        kind = failure.type_name.removeprefix("builtins.")
        return masker.text(f"{kind}: {failure.message}" if kind else failure.message)

    def line(self, app_id: str, failure: Failure) -> str:
        """Return what a failure was, in a line that may be shown."""
        if failure.kind in _OURS:
            return failure.message
        kind = failure.type_name.removeprefix("builtins.")
        return self._masks.masker(app_id).text(f"{kind}: {failure.message}" if kind else failure.message)

    def ended(self, container: Container[Input], exit: ContainerExit) -> None:
        """Keep a container's last words, which only the engine has, and how it ended; it still holds its inputs."""
        at_ms = int(time.time() * 1000)
        running = container.running() if container.ready else []
        # Where several ran, nobody can say whose they are.
        input_id = running[0] if len(running) == 1 else ""
        rows = self._logs.ends(container.container_id, at_ms)
        rows += ((_STDERR, input_id, at_ms, text, False) for text in exit.log_tail.splitlines())
        if _is_worth_a_line(exit):
            text = f"container {container.container_id} {exit.describe()}"
            rows += ((_SYSTEM, input_id, at_ms, line, False) for line in text.splitlines())
        self.printed(container, rows)
        self._logs.end_container(container.pool.plan.load.app_id, container.container_id)


def _is_worth_a_line(exit: ContainerExit) -> bool:
    if exit.not_started and exit.exit_code is None:
        # It never was: what waited for it is told why.
        return exit.permanent
    if exit.reason == UNNEEDED and not exit.oom_killed:
        return False
    return bool(exit.exit_code or exit.reason or exit.oom_killed or exit.exit_code is None)
