"""Tells the records what becomes of inputs: once for each batch, since there are very many."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from wherry_proto.messages import CallKind, Failure, FailureKind, RecordState
from wherry_service.calls.call import Call, Input
from wherry_service.pools.container import Container
from wherry_service.records.records import MAX_ATTEMPTS, CallRecords
from wherry_service.records.rows import Attempt, Facts, PlainRow, first_line, state_of
from wherry_service.records.tally import COLD_STARTS, LOSSES, REJECTED, RETRIES

_SUCCEEDED = RecordState.SUCCEEDED
_MAX_ID = 64
# Seconds for which answers are gathered, and how many at most.
GATHER_S = 0.02
MAX_GATHERED = 500

VersionOf = Callable[[str], int]
"""From a function's id to the version of its app, 0 where it is not deployed."""

Line = Callable[[str, Failure], str]
"""From an app's id and a failure to a line that may be shown."""


class Recorder:
    """Makes rows of inputs. What fails in one turn of the event loop is told together."""

    def __init__(self, records: CallRecords, version_of: VersionOf, line: Line) -> None:
        self.records = records
        self.version_of = version_of
        self.line = line
        # The last failure that many may share, and its line.
        self._last: tuple[Failure | None, str] = (None, "")
        self._is_on = records.settings.keep > 0
        self._gathered: list[tuple[Container[Input], Sequence[tuple[Input, int]], int, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        records.settle = self.settle
        # By function.
        self._failed: dict[str, list[PlainRow]] = {}

    def succeeded(self, container: Container[Input], ended: Sequence[tuple[Input, int]]) -> None:
        """Hear that a container has answered inputs, each with the size of its value.

        What comes within some milliseconds is gathered: a container that is quick answers one or a few at a time.
        """
        now_ms = int(time.time() * 1000)
        self._gathered.append((container, ended, container.last_end_ms, now_ms))
        container.last_end_ms = now_ms
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self.settle)
        elif len(self._gathered) >= MAX_GATHERED:
            self.settle()

    def settle(self) -> None:
        """Tell what was gathered: of each container together, where it answers one after the other."""
        if self._failed:
            self._tell_failed()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered, self._gathered = self._gathered, []
        own: dict[Container[Input], tuple[list[tuple[Input, int]], int, int]] = {}
        for container, ended, last_ms, now_ms in gathered:
            known = own.get(container)
            if known is None or container.slots > 1 or now_ms - known[2] > 1:
                if known is not None:
                    self._tell(container, *known)
                own[container] = (list(ended), last_ms, now_ms)
            else:
                known[0].extend(ended)
                own[container] = (known[0], known[1], now_ms)
        for container, known in own.items():
            self._tell(container, *known)

    def _tell(self, container: Container[Input], ended: Sequence[tuple[Input, int]], last_ms: int, now_ms: int) -> None:
        """Tell of a container's inputs. Where it runs one after the other, they have shared the time since the last."""
        plan = container.pool.plan
        function = self.records.function(plan.function_id, plan.load.app_id, plan.name)
        container_id, facts_of = container.container_id, self._facts
        rows: list[PlainRow]
        if container.slots > 1:
            rows = [
                (
                    item.queued_ms, item.input_id, item.call.facts or facts_of(item.call), item.index, item.method,
                    item.started_ms, now_ms, container_id, item.retries, item.losses, item.payload.size, size,
                    _SUCCEEDED,
                )
                for item, size in ended
            ]  # fmt: skip
            function.tally.ended(rows)
        else:
            first, last, count = ended[0][0], ended[-1][0], len(ended)
            begin_ms = max(last_ms, first.started_ms)
            span_ms = max(0, now_ms - begin_ms)
            run_ms = span_ms // count
            first_ms, last_ms = begin_ms - first.queued_ms, now_ms - run_ms - last.queued_ms
            function.tally.succeeded(count, first_ms if first_ms > 0 else 0, last_ms if last_ms > 0 else 0, run_ms)
            if not self._is_on:
                return
            if span_ms < count:
                rows = [
                    (
                        item.queued_ms, item.input_id, item.call.facts or facts_of(item.call), item.index, item.method,
                        begin_ms, now_ms, container_id, item.retries, item.losses, item.payload.size, size, _SUCCEEDED,
                    )
                    for item, size in ended
                ]  # fmt: skip
            else:
                rows = [
                    (
                        item.queued_ms, item.input_id, item.call.facts or facts_of(item.call), item.index, item.method,
                        begin_ms + span_ms * number // count, begin_ms + span_ms * (number + 1) // count,
                        container_id, item.retries, item.losses, item.payload.size, size, _SUCCEEDED,
                    )
                    for number, (item, size) in enumerate(ended)
                ]  # fmt: skip
        if self._is_on:
            self.records.add(function, rows, now_ms)

    def failed(self, item: Input, failure: Failure, container: Container[Input] | None, error: str) -> None:
        """Hear that an input has ended without a value; `error` may be shown, "" is made of the failure."""
        now_ms = int(time.time() * 1000)
        function_id = item.call.function_id
        subject = self.records.function(function_id).subject
        if not error:
            if self._last[0] is not failure:
                self._last = (failure, self.line(subject.app_id, failure))
            error = self._last[1]
        if not self._failed:
            asyncio.get_running_loop().call_soon(self._tell_failed)
        container_id, started_ms = failure.container_id, 0
        if container is not None:
            container_id, started_ms = container.container_id, begin_of(item, container)
            container.last_end_ms = now_ms
        self._failed.setdefault(function_id, []).append(
            (
                item.queued_ms, item.input_id, item.call.facts or self._facts(item.call), item.index, item.method,
                started_ms, now_ms, container_id, item.retries, item.losses, item.payload.size, 0,
                state_of(failure.kind),
            )
        )  # fmt: skip
        if error and self._is_on:
            self.records.story(function_id, item.input_id).error = first_line(error)

    def tried(self, item: Input, container: Container[Input], kind: int, error: str) -> None:
        """Hear that an attempt has failed, or was lost with its container, and that there will be another."""
        self.records.function(item.call.function_id).tally.count(
            LOSSES if kind in (FailureKind.CONTAINER_LOST, FailureKind.OUT_OF_MEMORY) else RETRIES
        )
        if not self._is_on:
            return
        now_ms = int(time.time() * 1000)
        attempts = self.records.story(item.call.function_id, item.input_id).attempts
        if len(attempts) >= MAX_ATTEMPTS:
            # The first one tells most.
            del attempts[1]
        attempts.append(
            Attempt(container.container_id, begin_of(item, container), now_ms, state_of(kind), first_line(error))
        )
        container.last_end_ms = now_ms

    def refused(self, item: Input) -> None:
        """Hear that an input was not taken: it may be offered again, so that it has no record."""
        self.records.function(item.call.function_id).tally.count(REJECTED)

    def called(self, call: Call) -> None:
        """Hear of a call that has begun."""
        kind = CallKind.SCHEDULE if call.scheduled else call.kind
        function = self.records.function(call.function_id)
        function.tally.called(kind)
        if call.durable:
            function.subject.has_durable = True

    def restored(self, call: Call) -> None:
        """Hear of a call that an earlier life has begun."""
        if call.durable:
            self.records.function(call.function_id).subject.has_durable = True

    def ready(self, container: Container[Input]) -> None:
        """Hear that a container that was started has imported its code."""
        plan = container.pool.plan
        self.records.function(plan.function_id, plan.load.app_id, plan.name).tally.count(COLD_STARTS)

    def _tell_failed(self) -> None:
        failed, self._failed = self._failed, {}
        now_ms = int(time.time() * 1000)
        for function_id, rows in failed.items():
            function = self.records.function(function_id)
            function.tally.ended(rows)
            if self._is_on:
                self.records.add(function, rows, now_ms)

    def _facts(self, call: Call) -> Facts:
        call.facts = self._facts_now(call)
        return call.facts

    def _facts_now(self, call: Call) -> Facts:
        kind = CallKind.SCHEDULE if call.scheduled else call.kind
        # A parent's id is the client's word.
        return call.call_id, kind, call.parent_input_id[:_MAX_ID], self.version_of(call.function_id)

    # What has not ended

    def open_inputs(self, items: Sequence[Input]) -> "OpenInputs":
        """Return those of the inputs that have not ended."""
        self.settle()
        return OpenInputs(self, items)

    def open_rows(self, items: Iterable[Input]) -> Iterator[tuple[str, PlainRow]]:
        """Yield the function and the row of each of these inputs as one that has not ended; in any thread.

        One that ends meanwhile is told all the same: of those that have ended, who asks was told before.
        """
        running: dict[str, set[str]] = {}
        for item in items:
            container, started_ms, container_id = item.container, 0, ""
            state: int = RecordState.RETRYING if item.retries and not item.queued else RecordState.QUEUED
            if container is not None:
                container_id = container.container_id
                if container_id not in running:
                    running[container_id] = set(list(container.held)[: container.slots])
                if item.input_id in running[container_id]:
                    state, started_ms = RecordState.RUNNING, begin_of(item, container)
                else:
                    state = RecordState.QUEUED
            call = item.call
            facts = call.facts or self._facts_now(call)
            yield call.function_id, (
                item.queued_ms, item.input_id, facts, item.index, item.method, started_ms, 0, container_id,
                item.retries, item.losses, item.payload.size, 0, state,
            )  # fmt: skip


class OpenInputs:
    """Inputs in memory as the reader of records asks for them (implements `reader.OpenInputs`)."""

    def __init__(self, recorder: Recorder, items: Sequence[Input]) -> None:
        self._recorder = recorder
        self._items = [item for item in items if not item.done]

    def function_ids(self) -> set[str]:
        return {item.call.function_id for item in self._items}

    def rows(self) -> Iterator[tuple[str, PlainRow]]:
        return self._recorder.open_rows(self._items)


def begin_of(item: Input, container: Container[Input]) -> int:
    """Return when a container has begun an input, as far as is known: where it runs one after the other, not before
    the end of the last one."""
    return max(item.started_ms, container.last_end_ms) if container.slots == 1 else item.started_ms
