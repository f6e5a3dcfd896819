"""The journal of open calls: what clients have asked, what they have been told, and what of it is on disk."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from wherry_proto.messages import (
    CallGraph,
    CallKind,
    CallStart,
    Failure,
    FailureKind,
    Output,
    Payload,
    Yield,
)
from wherry_proto.messages import Input as InputMessage
from wherry_service.calls.call import Call, Input
from wherry_service.calls.client import Client
from wherry_service.calls.ends import End, Ends
from wherry_service.calls.failures import Failures
from wherry_service.calls.graph import CallGraphs, Describe, around
from wherry_service.calls.recorder import Recorder
from wherry_service.calls.values import Values
from wherry_service.calls.watching import Watching
from wherry_service.errors import NotFound, Rarely, ServiceError
from wherry_service.ids import check_id, input_of_call
from wherry_service.node.node import NodeContainer
from wherry_service.pools.container import Container
from wherry_service.store.blobs import BlobStore, keep_patiently
from wherry_service.store.calls import CallStore
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)

# Calls whose clients take values of generators.
_YIELDING = (CallKind.GENERATOR, CallKind.MAP, CallKind.SPAWN, CallKind.SPAWN_MAP)


# large: it alone knows what is open; all that clients and containers say changes the same calls and inputs
class Journal:
    """All open calls by id. A call is forgotten when its client has taken every output, or has gone."""

    def __init__(
        self,
        store: CallStore,
        blobs: BlobStore,
        values: Values,
        describe: Describe,
        recorder: Recorder,
        failures: Failures,
    ) -> None:
        self._store = store
        self._values = values
        self._blobs = blobs
        self.recorder = recorder
        self._calls: dict[str, Call] = {}
        self._inputs: dict[str, Input] = {}
        self._tasks = Tasks("the journal could not be written")
        self._rarely = Rarely()
        self._failures = failures
        self._ends = Ends(store, blobs, values, failures, self._written, self._tasks.spawn)
        self.graphs = CallGraphs(describe, self._ends.add_graph)
        self.watching = Watching(self._calls, self._inputs, store, describe, self._tasks.spawn)

    # Asking

    def call(self, call_id: str) -> Call | None:
        return self._calls.get(call_id)

    def open_input(self, input_id: str) -> Input | None:
        """Return the input of that id unless it has ended."""
        item = self._inputs.get(input_id)
        return item if item is not None and not item.done else None

    def function_of(self, call_id: str) -> str | None:
        """Return the id of the function that a call in memory is of; it may be one of an input alone."""
        call = self._calls.get(call_id)
        if call is None and (item := self._inputs.get(input_of_call(call_id))) is not None:
            call = item.call
        return call.function_id if call is not None else self.graphs.function_of(call_id)

    def call_of(self, input_id: str) -> str | None:
        """Return the id of the call of an input in memory."""
        item = self._inputs.get(input_id)
        return item.call_id if item is not None else None

    def known_inputs(self) -> list[Input]:
        """Return the inputs in memory, also those that have ended and whose outputs were not taken."""
        return list(self._inputs.values())

    @property
    def num_open(self) -> int:
        """How many inputs have not ended."""
        return len(self._inputs)

    def blob_ids(self) -> set[str]:
        """Return the blobs that open inputs and what their clients have not taken refer to."""
        found: set[str] = set()
        for item in self._inputs.values():
            found.add(item.payload.blob_id)
            found.update(value.payload.blob_id for value in item.yields or () if value.payload is not None)
        for call in self._calls.values():
            found.update(done.payload.blob_id for done in call.finished.values() if done.payload is not None)
        return found - {""}

    def calls_of(self, client: Client) -> list[Call]:
        return [call for call_id in client.calls if (call := self._calls.get(call_id)) is not None]

    # What clients say

    def start(self, client: Client, start: CallStart) -> Call:
        """Note a call; a known one is returned as it is, now belonging to this session."""
        call = self._calls.get(start.call_id)
        if call is None:
            check_id(start.call_id, "fc", "call id")
            call = Call(start.call_id, start.function_id, start.kind, client, start.parent_input_id)
            self._calls[call.call_id] = call
            self.recorder.called(call)
            if (parent := self._inputs.get(start.parent_input_id)) is not None:
                parent.children += 1
        elif start.kind == CallKind.SPAWN_MAP:
            # After a restart it is known by those inputs that are on disk; its client has more.
            call.kind, call.num_inputs = start.kind, None
        call.client = client
        client.calls.add(call.call_id)
        return call

    def take_in(self, item: Input) -> None:
        """Note an input, and its call, that the service made itself: the call's client hears how it ends."""
        self._calls[item.call_id] = item.call
        self._inputs[item.input_id] = item
        item.call.open[item.input_id] = item
        self.recorder.called(item.call)

    def new_inputs(
        self, messages: Iterable[InputMessage], gate: Callable[[Input], Failure | None] | None = None
    ) -> list[Input]:
        """Return those that are new; known ones are ignored, or answered again if they have ended.

        `gate` says why one can't be taken now: it is answered so and stays unknown.
        """
        fresh: list[Input] = []
        inputs = self._inputs
        now_ms = int(time.time() * 1000)
        for message in messages:
            known = inputs.get(message.input_id)
            call = self._calls.get(message.call_id)
            if known is not None:
                if known.done and call is not None and call.client is not None:
                    output = call.finished.get(message.input_id)
                    if output is not None:
                        call.client.output(output)
                continue
            if call is None or message.payload is None:
                if self._rarely.may_tell("unknown"):
                    log.warning("an input of unknown call %.40s was ignored", message.call_id)
                continue
            item = Input(message.input_id, call, message.index, message.payload, message.method, now_ms)
            if gate is not None and (failure := gate(item)) is not None:
                self.recorder.refused(item)
                self._refuse(item, failure)
                continue
            inputs[item.input_id] = item
            call.open[item.input_id] = item
            fresh.append(item)
            if call.durable or call.parent_input_id:
                self._note(item)
        return fresh

    def _note(self, item: Input) -> None:
        """Put an input into its call graph, its ancestors first."""
        line = [item]
        while (parent := self._inputs.get(line[-1].call.parent_input_id)) is not None and not parent.in_graph:
            line.append(parent)
        for one in reversed(line):
            self.graphs.add(one, self._inputs.get(one.call.parent_input_id))

    def save(self, client: Client, items: list[Input], then: Callable[[list[Input]], None]) -> None:
        """Put durable inputs on disk; then tell the client, and call `then`. Known ones are confirmed again."""
        self._tasks.spawn(self._save(client, items, then))

    async def _save(self, client: Client, items: list[Input], then: Callable[[list[Input]], None]) -> None:
        rows = [
            (item.input_id, item.call_id, item.call.function_id, item.index, item.payload, item.method)
            for item in items
        ]
        try:
            await self._keep(item.payload for item in items)
            fresh_ids = await self._store.add_inputs(rows, client.client_id)
        except Exception as error:
            self._not_saved(items, error)
            if not isinstance(error, ServiceError):
                raise
            return
        for item in items:
            item.saved = True
            if item.input_id not in fresh_ids:
                # It ended in an earlier life; the disk answers for it. Its call may have others that are open.
                self._inputs.pop(item.input_id, None)
                item.call.open.pop(item.input_id, None)
                self._forget_if_on_disk(item.call)
        self._ends.saved(items)
        client.accepted([item.input_id for item in items])
        then([item for item in items if item.input_id in fresh_ids and not item.done])

    def _not_saved(self, items: list[Input], error: Exception) -> None:
        """Refuse inputs that can't be put on disk: their client is told, and may offer them again."""
        why = str(error) if isinstance(error, ServiceError) else f"it failed: {type(error).__name__}: {error}"
        failure = Failure(kind=FailureKind.EXHAUSTED, message=f"the input could not be written: {why}")
        self._ends.never_saved(items)
        for item in items:
            self.recorder.failed(item, failure, None, "")
            item.done = True
            self._inputs.pop(item.input_id, None)
            item.call.open.pop(item.input_id, None)
            if item.in_graph:
                self.graphs.end(item, Output(input_id=item.input_id, call_id=item.call_id, failure=failure), "")
            self._refuse(item, failure)

    def confirm_known(self, client: Client, messages: Iterable[InputMessage]) -> None:
        """Tell the client again of durable inputs that are on disk: it offered them twice."""
        known = (self._inputs.get(message.input_id) for message in messages)
        if on_disk := [item.input_id for item in known if item is not None and item.saved]:
            client.accepted(on_disk)

    def take(self, input_ids: Iterable[str]) -> None:
        """Forget outputs that have arrived."""
        for input_id in input_ids:
            item = self._inputs.get(input_id)
            if item is None or not item.done:
                continue
            call = item.call
            output = call.finished.pop(input_id, None)
            del self._inputs[input_id]
            if output is not None and not call.durable:
                self._delete_blobs(item, output)
            self._forget_if_over(call)

    def end(self, call: Call, num_inputs: int) -> None:
        """Note that no more inputs will come."""
        call.num_inputs = num_inputs
        if call.durable:
            self._forget_if_on_disk(call)
        else:
            self._forget_if_over(call)

    def resume(self, client: Client) -> None:
        """Send again what has ended and was not taken: the client's earlier session broke."""
        for call in self.calls_of(client):
            for input_id in [*call.open, *call.finished]:
                item = self._inputs.get(input_id)
                for value in (item.yields if item is not None and not call.cancelled else None) or ():
                    client.yielded(value, None)
            for output in call.finished.values():
                client.output(output)

    def forget(self, call: Call) -> None:
        """Forget a call whose client is gone, with all its outputs; a durable one is left to the disk."""
        for input_id, output in call.finished.items():
            if not call.durable and (item := self._inputs.get(input_id)) is not None:
                self._delete_blobs(item, output)
        for input_id in [*call.finished, *call.open]:
            self._inputs.pop(input_id, None)
        # Whoever still knows the call keeps no values by it.
        call.finished.clear()
        call.open.clear()
        self._drop(call)

    # What the dispatcher says

    def yielded(self, item: Input, value: Yield, source: NodeContainer | None) -> None:
        if item.call.kind not in _YIELDING:
            # Its caller waits for one output: a generator called like this has nobody to take what it yields.
            if source is not None:
                source.taken([(item.input_id, value.index + 1)])
            return
        client = item.call.client
        if item.call.durable:
            self._tasks.spawn(self._values.keep(value, source))
        elif item.keep_yield(value):
            if client is not None:
                client.yielded(value, source)
        elif source is not None:
            # The caller will not take it a second time.
            source.taken([(item.input_id, item.yields_taken)])

    def yields_taken(self, input_id: str, below: int) -> Input | None:
        """Forget the values of a lower index; return the input if it still runs."""
        item = self._inputs.get(input_id)
        if item is None:
            return None
        item.take_yields(below)
        return item if not item.done else None

    def ended(self, item: Input, output: Output, container: Container[Input] | None = None) -> None:
        """Note and deliver the end of an input; a durable one is delivered when it is on disk.

        `container` is the one that has answered: until then it keeps a durable input's answer.
        """
        if item.in_graph:
            self.graphs.end(item, output, container.container_id if container is not None else "")
        if item.call.durable:
            failed = self._failures.note(item, output.failure, container) if output.failure is not None else None
            self._ends.add(item, output, container.handle if container is not None else None, failed)
        else:
            self._deliver(item, output)

    def _written(self, ends: Sequence[End], kept: frozenset[str]) -> None:
        """Deliver the ends of durable inputs that are on disk now; those that are `kept` keep their arguments."""
        answers: dict[NodeContainer, list[str]] = {}
        calls: dict[str, Call] = {}
        for item, output, source, _ in ends:
            if source is not None:
                answers.setdefault(source, []).append(item.input_id)
            calls[item.call_id] = item.call
            self._deliver(item, output, item.input_id in kept)
        for source, input_ids in answers.items():
            source.kept(input_ids)
        for call_id, call in calls.items():
            self._values.changed(call_id)
            self._forget_if_on_disk(call)

    async def _keep(self, payloads: Iterable[Payload | None]) -> None:
        if blob_ids := [payload.blob_id for payload in payloads if payload is not None and payload.blob_id]:
            await keep_patiently(self._blobs, blob_ids)

    def _forget_if_on_disk(self, call: Call) -> None:
        if not call.open and call.num_inputs is not None:
            self.forget(call)

    def _refuse(self, item: Input, failure: Failure) -> None:
        """Answer for an input that is not taken; its client may offer it again."""
        call = item.call
        if call.client is not None:
            call.client.output(Output(input_id=item.input_id, call_id=call.call_id, index=item.index, failure=failure))
        if call.kind not in (CallKind.MAP, CallKind.SPAWN_MAP):
            # Its one input fails with it.
            self._drop(call)

    def _deliver(self, item: Input, output: Output, is_kept: bool = False) -> None:
        call = item.call
        call.open.pop(item.input_id, None)
        call.num_done += 1
        if call.durable:
            # The disk has it, for whoever asks.
            self._inputs.pop(item.input_id, None)
            if not is_kept:
                self._delete_argument(item)
        elif call.call_id in self._calls:
            call.finished[item.input_id] = output
        else:
            # Its client is gone: nobody offers the input again, and nobody takes its output.
            self._delete_blobs(item, output)
        if call.client is not None and not call.durable:
            call.client.output(output)
        for client in call.watchers:
            client.output(output)
        self.watching.ended(output)

    def restore(self, items: Iterable[Input]) -> None:
        """Take in durable inputs that an earlier life left open."""
        for item in items:
            item.saved = True
            item.call.restored = True
            self.recorder.restored(item.call)
            self._calls[item.call_id] = item.call
            self._inputs[item.input_id] = item
            item.call.open[item.input_id] = item
            self._note(item)

    async def graph(self, call_id: str) -> CallGraph:
        """Return the graph that a call is in, from memory or from disk; raise `NotFound`."""
        found = self.graphs.graph(call_id) or await self._store.graph(call_id) or await self._graph_of_input(call_id)
        if found is None:
            raise NotFound(f"there is no call graph of {call_id[:64]}: it was not spawned, or was forgotten")
        return found

    async def _graph_of_input(self, call_id: str) -> CallGraph | None:
        """Return what is around one input of a call; None if there is no such input."""
        input_id = input_of_call(call_id)
        owner = await self._store.call_of(input_id)
        whole = (self.graphs.graph(owner) or await self._store.graph(owner)) if owner is not None else None
        return around(whole, input_id) if whole is not None else None

    # Forgetting

    def _forget_if_over(self, call: Call) -> None:
        if call.num_inputs is not None and not call.open and not call.finished and call.num_done >= call.num_inputs:
            self._drop(call)

    def _drop(self, call: Call) -> None:
        known = self._calls.pop(call.call_id, None)
        if known is not None and (parent := self._inputs.get(call.parent_input_id)) is not None:
            parent.children -= 1
        if call.client is not None:
            call.client.calls.discard(call.call_id)

    def _delete_blobs(self, item: Input, output: Output) -> None:
        self._delete_argument(item)
        if output.payload is not None and output.payload.blob_id:
            self._blobs.delete(output.payload.blob_id)

    def _delete_argument(self, item: Input) -> None:
        """Delete an input's argument. Not before its output is taken or on disk: until then a killed service,
        which has forgotten that it ended, runs the input again."""
        if item.payload.blob_id:
            self._blobs.delete(item.payload.blob_id)
