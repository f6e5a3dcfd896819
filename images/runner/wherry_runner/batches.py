"""Batches: one run of the function takes several inputs, as lists, and returns a list.

To the executors a batch is one input: `BatchDesk` gathers inputs into batches on the way in and takes them apart on
the way out. So batches run in the same three ways as single inputs, whose path none of this touches.
"""

from __future__ import annotations

import sys
from _queue import Empty, SimpleQueue  # the C types alone
from _thread import allocate_lock, start_new_thread
from time import monotonic

from wherry_runner.executor import Desk
from wherry_runner.inputs import Input
from wherry_runner.payload import with_article

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry_runner.executor import Executor
    from wherry_runner.frames import Header
    from wherry_runner.watch import Watch

    Arguments = tuple[Any, Any]


class Batch(Input):
    """Inputs that run together; it goes by the name of its first."""

    __slots__ = ("members",)

    def __init__(self, members: list[Input]) -> None:
        first = members[0]
        super().__init__(first.input_id, first.call_id, first.format, None, b"", first.method)
        self.members = members


class Gathering:
    """The inbox as executors see it: of batches. What gathers stays in the real one, to be recalled or cancelled there.

    An input's `deadline` holds when it came, until its batch begins; its `handle` then is the batch.
    """

    def __init__(self, inbox: Any, max_size: int, wait_s: float) -> None:
        self.ending = False
        self._inbox = inbox
        self._max_size = max_size
        self._wait_s = wait_s
        self._lock = allocate_lock()
        self._nudges: Any = SimpleQueue()
        self._ticking = False
        self._on_close: Callable[[], None] = lambda: None

    def begin(self, on_close: Callable[[], None]) -> None:
        """Have `on_close` called, in a thread of its own, when a batch closes because its time is over."""
        self._on_close = on_close

    def __bool__(self) -> bool:
        return bool(self._inbox)

    def __len__(self) -> int:
        """Batches that are complete."""
        count = len(self._inbox)
        full, rest = divmod(count, self._max_size)
        closes_in = self._closes_in() if rest else None
        return full + (closes_in is not None and closes_in <= 0)

    def popleft(self) -> Batch:
        """Take a complete batch; raise IndexError where there is none."""
        inbox = self._inbox
        with self._lock:
            self._note_arrivals()
            closes_in = self._closes_in()
            if closes_in is None or closes_in > 0:
                raise IndexError
            members: list[Input] = []
            try:
                while len(members) < self._max_size:
                    members.append(inbox.popleft())
            except IndexError:
                # That was all, or the rest has just been recalled.
                if not members:
                    raise
            batch = Batch(members)
            for item in members:
                item.handle = batch
        if inbox:
            self.nudge()
        return batch

    def arrived(self) -> None:
        """Note when inputs came."""
        with self._lock:
            self._note_arrivals()
        self.nudge()

    def batch_of(self, item: Input) -> Batch | None:
        """Return the batch in which an input runs."""
        with self._lock:
            return item.handle if isinstance(item.handle, Batch) else None

    def nudge(self) -> None:
        """Have the clock look anew. Safe in a signal handler."""
        if self._ticking:
            self._nudges.put(None)
        elif self._inbox:
            self._ticking = True
            start_new_thread(self._tick, ())

    def _note_arrivals(self) -> None:
        now = monotonic()
        try:
            for item in reversed(self._inbox):
                if item.deadline:
                    break
                item.deadline = now
        except RuntimeError:
            pass  # it was recalled meanwhile

    def _closes_in(self) -> float | None:
        """Seconds until the first batch is complete, 0 if it is; None where nothing gathers."""
        try:
            first = self._inbox[0]
        except IndexError:
            return None
        if self.ending or len(self._inbox) >= self._max_size:
            return 0.0
        return max(0.0, (first.deadline or monotonic()) + self._wait_s - monotonic())

    def _tick(self) -> None:
        told: Input | None = None
        while True:
            try:
                first = self._inbox[0]
            except IndexError:
                first = None
            closes_in = self._closes_in()
            if closes_in is not None and closes_in <= 0 and first is not told:
                told = first
                self._on_close()
                continue
            try:
                # Once told, whoever runs batches takes it when he can.
                if closes_in is None or closes_in <= 0:
                    self._nudges.get()
                else:
                    self._nudges.get(True, closes_in)
            except Empty:
                pass


class BatchDesk(Desk):
    """A desk whose inputs are batches."""

    gathering: Gathering

    def gather(self, max_size: int, wait_s: float) -> None:
        """Begin to; before anything runs."""
        self.gathering = Gathering(self.inbox, max_size, wait_s)
        self.inbox = self.gathering

    @property
    def ending(self) -> bool:
        return self._ending

    @ending.setter
    def ending(self, value: bool) -> None:
        self._ending = value
        gathering = getattr(self, "gathering", None)
        if gathering is not None and value:
            # Nothing more will come: what has gathered runs.
            gathering.ending = True
            gathering.nudge()

    def unpickle(self, item: Input) -> Arguments | None:
        assert isinstance(item, Batch)
        members: list[Input] = []
        calls: list[Arguments] = []
        for member in item.members:
            if member.answered:
                continue
            call = super().unpickle(member)
            if call is not None:
                members.append(member)
                calls.append(call)
        if not _are_alike(calls):
            members, calls = self._aligned(self._function_of(item), members, calls)
        item.members = members
        if not members:
            item.answered = True
            return None
        if not _are_alike(calls):
            self.fail(
                item,
                _wrong(f"{_name(self._function_of(item))}: inputs of one batch have different numbers of arguments"),
            )
            return None
        first_args, first_kwargs = calls[0]
        args = tuple([call[0][i] for call in calls] for i in range(len(first_args)))
        return args, {name: [call[1][name] for call in calls] for name in first_kwargs}

    def _function_of(self, item: Input) -> Callable[..., Any]:
        return self.function if self.methods is None else self.methods[item.method][0]

    def _aligned(
        self, function: Callable[..., Any], members: list[Input], calls: list[Arguments]
    ) -> tuple[list[Input], list[Arguments]]:
        """Give all calls the same form, by the function's parameters and their defaults; answer what does not fit."""
        from inspect import signature  # noqa: PLC0415 - start-up cost: only where callers differ in how they pass arguments

        parameters = signature(function)
        kept: list[Input] = []
        aligned: list[Arguments] = []
        for member, (args, kwargs) in zip(members, calls, strict=True):
            try:
                bound = parameters.bind(*args, **kwargs)
            except TypeError as error:
                self.fail(member, TypeError(f"{_name(function)}: {error}"))
                continue
            bound.apply_defaults()
            kept.append(member)
            aligned.append((bound.args, bound.kwargs))
        return kept, aligned

    def give(self, item: Input, value: Any) -> None:
        assert isinstance(item, Batch)
        members = item.members
        if not isinstance(value, list) or len(value) != len(members):
            what = f"a list of {len(value)}" if isinstance(value, list) else with_article(type(value).__name__)
            name = _name(self._function_of(item))
            each = "one for each input" if len(members) > 1 else "for its one input"
            self.fail(
                item,
                _wrong(f"{name} is batched: it must return a list of {len(members)}, {each}, and returned {what}"),
            )
            return
        for member, part in zip(members, value, strict=True):
            super().give(member, part)
        item.answered = True

    def leave(self, item: Input, by: str) -> bool:
        """Answer for one input that is to end, whose batch runs on; return whether it was the last."""
        item.ended_by = by
        self.fail_ended(item)
        batch = item.handle
        return isinstance(batch, Batch) and all(member.answered for member in batch.members)

    def _fail(self, item: Input, header: Header, data: bytes) -> None:
        if not isinstance(item, Batch):
            super()._fail(item, header, data)
            return
        for member in item.members:
            super()._fail(member, dict(header), data)
        item.answered = True


class BatchesExecutor:
    """Implements `executor.Executor` by another one, for which each batch is one input."""

    def __init__(self, inner: Executor, desk: BatchDesk, watch: Watch) -> None:
        self.desk: Desk = desk
        self._gathering = desk.gathering
        self._leave = desk.leave
        self.stands_in = inner.stands_in
        self.current = inner.current
        self.next_deadline = inner.next_deadline
        self.on_time = inner.on_time
        self._inner = inner
        self._watch = watch
        self._gathering.begin(self._on_close)

    def run(self) -> None:
        self._inner.run()

    def finish(self) -> None:
        self._inner.finish()

    def start_more(self) -> None:
        self._gathering.arrived()
        self._inner.start_more()

    def end(self, item: Input, by: str) -> None:
        batch = self._gathering.batch_of(item)
        if batch is not None and not item.answered and self._leave(item, by):
            self._inner.end(batch, by)

    def _on_close(self) -> None:
        self._inner.start_more()
        # The serial executor looks for itself, once it is awake.
        self._watch.wake()


def gather(executor: Executor, desk: Desk, watch: Watch, max_size: int, wait_s: float) -> Executor:
    """Return what runs batches by an executor of single inputs; its desk is a `BatchDesk`."""
    assert isinstance(desk, BatchDesk)
    desk.gather(max_size, wait_s)
    return BatchesExecutor(executor, desk, watch)


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", function))


def _are_alike(calls: list[Arguments]) -> bool:
    return all(len(args) == len(calls[0][0]) and kwargs.keys() == calls[0][1].keys() for args, kwargs in calls)


def _wrong(message: str) -> Exception:
    # The SDK's own where user code has imported it, as code that says @batched has.
    sdk = sys.modules.get("wherry.exception")
    kind: type[Exception] = getattr(sdk, "InvalidError", ValueError)
    return kind(message)
