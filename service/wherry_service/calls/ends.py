"""The ends of durable inputs on their way to the disk: as many in one write as have come at once."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple

from wherry_proto.messages import CallGraph, Output
from wherry_service.calls.call import Input
from wherry_service.calls.failures import Failures
from wherry_service.calls.values import Values
from wherry_service.calls.writing import until_written
from wherry_service.node.node import NodeContainer
from wherry_service.store.blobs import BlobStore, keep_patiently
from wherry_service.store.calls import CallStore
from wherry_service.store.failed_inputs import Failed

# Ends in one write: what others write meanwhile waits no longer than that takes.
MAX_AT_ONCE = 5000
_NONE: frozenset[str] = frozenset()


class End(NamedTuple):
    """How an input has ended."""

    item: Input
    output: Output
    # The container that answered, which keeps the answer until it is on disk.
    source: NodeContainer | None
    # What is to be written beside it where it failed.
    failed: Failed | None


class Ends:
    """Gathers what ends in one turn of the event loop and writes it together: 100,000 inputs are cancelled in one.

    `written` hears of ends that are on disk, and of which of the inputs the arguments are kept; `run` runs what has to
    be waited for.
    """

    def __init__(
        self,
        store: CallStore,
        blobs: BlobStore,
        values: Values,
        failures: Failures,
        written: Callable[[Sequence[End], frozenset[str]], None],
        run: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._values = values
        self._failures = failures
        self._written = written
        self._run = run
        self._waiting: list[End] = []
        self._graphs: dict[str, CallGraph] = {}
        # Of inputs that are not on disk themselves yet: there is no row to write to.
        self._early: dict[str, End] = {}
        self._gathers = False

    def add(self, item: Input, output: Output, source: NodeContainer | None, failed: Failed | None) -> None:
        """Write the end of an input."""
        self._waiting.append(End(item, output, source, failed))
        self._gather()

    def add_graph(self, call_id: str, graph: CallGraph) -> None:
        """Write what a call has led to."""
        self._graphs[call_id] = graph
        self._gather()

    def saved(self, items: Iterable[Input]) -> None:
        """Hear that inputs are on disk: the ends of those that ended before can be written."""
        if self._early:
            self._waiting += (end for item in items if (end := self._early.pop(item.input_id, None)) is not None)
            self._gather()

    def never_saved(self, items: Iterable[Input]) -> None:
        """Hear that inputs will not be on disk: nor will their ends."""
        for item in items:
            self._early.pop(item.input_id, None)

    def _gather(self) -> None:
        if not self._gathers:
            self._gathers = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._gathers = False
        ends, self._waiting = self._waiting, []
        graphs, self._graphs = self._graphs, {}
        if ends:
            # A task, so that the values which were yielded before are on their way.
            self._run(self._write_all(ends))
        if graphs:
            self._run(self._store.put_graphs(graphs))

    async def _write_all(self, ends: list[End]) -> None:
        ready: list[End] = []
        for end in ends:
            if not end.item.saved:
                self._early[end.item.input_id] = end
            elif _blob(end.output) or self._values.is_keeping(end.item.input_id):
                self._run(self._write_late(end))
            else:
                ready.append(end)
        for begin in range(0, len(ready), MAX_AT_ONCE):
            await self._finish(ready[begin : begin + MAX_AT_ONCE])

    async def _write_late(self, end: End) -> None:
        """Write an end once what it refers to is kept."""
        if blob_id := _blob(end.output):
            await keep_patiently(self._blobs, [blob_id])
        await self._values.all_kept(end.item.input_id)
        await self._finish([end])

    async def _finish(self, ends: Sequence[End]) -> None:
        outputs = [end.output for end in ends]
        failed = [end.failed for end in ends if end.failed is not None]
        if not failed:
            await until_written(lambda: self._store.finish_inputs(outputs))
            self._written(ends, _NONE)
            return
        done = await until_written(lambda: self._failures.store.finish(outputs, failed))
        self._written(ends, done.kept)
        self._failures.written(failed, done.told)


def _blob(output: Output) -> str:
    return output.payload.blob_id if output.payload is not None else ""
