"""What the three ways of running inputs share: unpickle, answer, keep count."""

from __future__ import annotations

from _thread import allocate_lock
from time import monotonic

from wherry_runner.context import call_id, input_id
from wherry_runner.inputs import Input, Intake
from wherry_runner.link import FRAME, OUTPUTS, YIELDS, Link
from wherry_runner.output import Pipes, Stream
from wherry_runner.payload import JSON, PICKLE, Payloads, ValueRefused, with_article

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from wherry_runner.frames import Header

    Target = tuple[Callable[..., Any], bool, bool]
    """A function, whether it is a generator, whether it is asynchronous."""

BATCH_S = 0.0005
_GENERATOR = " (where a plain function returns a generator, decorate it with is_generator=True)"
_HINTS = {"generator": _GENERATOR, "async_generator": _GENERATOR}
_NONE = b"\x80\x04N."


if TYPE_CHECKING:

    class Executor(Protocol):
        """Runs inputs one way. The keeper watches over it (`watch.Charge`)."""

        desk: Desk
        stands_in: bool

        def current(self) -> object: ...
        def next_deadline(self) -> float | None: ...
        def on_time(self) -> None: ...

        def run(self) -> None:
            """Keep the main thread until the runner is to end and all inputs are answered."""

        def finish(self) -> None:
            """End what is left, after the exit hooks."""

        def start_more(self) -> None:
            """Hear that inputs have come into the inbox."""

        def end(self, item: Input, by: str) -> None:
            """End a running input: "cancelled" or "timeout"."""


class Desk:
    """Inputs come in here, and their answers go out."""

    def __init__(
        self,
        link: Link,
        intake: Intake,
        pipes: Pipes,
        streams: tuple[Stream, Stream],
        payloads: Payloads,
        function: Callable[..., Any],
        timeout_s: float,
    ) -> None:
        self.link = link
        self.function = function
        self.timeout_s = timeout_s
        self.inbox = intake.inbox
        self.held = intake.held
        # Of a class: its methods.
        self.methods: dict[str, Target] | None = None
        self.running: dict[str, Input] = {}
        self.ending = False
        # Has an input give its terminal back as it is answered.
        self.leave_terminal: Callable[[str], None] = lambda input_id: None
        self._pipes = pipes
        self._streams = streams
        self._payloads = payloads
        self._claims = allocate_lock()

    # In

    def unpickle(self, item: Input) -> tuple[Any, Any] | None:
        """Return `(args, kwargs)`; where that fails, answer with a failure and return None."""
        try:
            args, kwargs = self._payloads.read(item.format, item.blob, item.payload)
        except BaseException as error:  # a user's __setstate__ may raise anything, SystemExit as well  # noqa: BLE001
            how = "unpickled" if item.format == PICKLE else "read"
            self.fail(item, error, "serialization", f"the arguments could not be {how} in the container")
            return None
        item.payload = b""
        return args, kwargs

    def method(self, item: Input) -> Target | None:
        """Return the method that an input means; where there is none, answer with a failure and return None."""
        found = (self.methods or {}).get(item.method)
        if found is None:
            self.fail(item, AttributeError(f"the class has no method {item.method!r}"))
        return found

    def begin(self, item: Input) -> None:
        """Note an input as running; for executors with several at a time."""
        item.deadline = monotonic() + self.timeout_s
        self.running[item.input_id] = item
        self._name_only()
        input_id.set(item.input_id)
        call_id.set(item.call_id)

    def _name_only(self) -> None:
        """Where one input runs alone, what nobody else claims is its own."""
        running = list(self.running.values())
        only = running[0] if len(running) == 1 else None
        input_id.only = only.input_id if only else None
        call_id.only = only.call_id if only else None

    # Out

    def give(self, item: Input, value: Any) -> None:
        """Answer with the function's value."""
        if item.format == JSON:
            self._give_json(item, value)
            return
        try:
            data, blob, size = self._payloads.write(value)
        except ValueRefused as error:
            self._fail_refused(item, "the value that the function returned was not taken", error)
            return
        except BaseException as error:  # as for unpickling  # noqa: BLE001
            kind = type(value).__name__
            what = f"the function returned {with_article(kind)}, which can't be pickled{_HINTS.get(kind, '')}"
            self.fail(item, error, "serialization", what)
            return
        self._answer(item, [item.input_id, PICKLE, blob, size, item.window.index if item.window else 0], data)

    def _give_json(self, item: Input, value: Any) -> None:
        written = self._write_json(item, value, "result")
        if written is not None:
            data, blob, size = written
            self._answer(item, [item.input_id, JSON, blob, size, item.window.index if item.window else 0], data)

    def _write_json(self, item: Input, value: Any, name: str) -> tuple[bytes, str | None, int] | None:
        """Return a value as JSON, as `Payloads.write` does; where that fails, answer so and return None."""
        try:
            return self._payloads.write_json(value, name)
        except BaseException as error:  # a user's class that is nearly a dict may raise anything  # noqa: BLE001
            from wherry_runner.json_values import NotJson  # noqa: PLC0415 - start-up cost: only for such inputs

            if not isinstance(error, NotJson | ValueRefused):
                self.fail(item, error, "serialization", f"the {name} could not be written as JSON")
                return None
            self._fail_refused(item, "the call was made with JSON, and is answered with JSON", error)
            return None

    def give_raw(self, item: Input, format: int, data: bytes) -> None:
        """Answer with bytes of another format than a pickle."""
        self._answer(item, [item.input_id, format, None, len(data), 0], data)

    def give_end(self, item: Input) -> None:
        """Answer for a generator that has ended."""
        assert item.window is not None
        format, data = (JSON, b"null") if item.format == JSON else (PICKLE, _NONE)
        self._answer(item, [item.input_id, format, None, len(data), item.window.index], data)

    def give_yield(self, item: Input, value: Any) -> bool:
        """Send one value of a generator; False: it is answered, perhaps since the value can't be pickled."""
        assert item.window is not None
        if item.format == JSON:
            written = self._write_json(item, value, f"yielded[{item.window.index}]")
            return written is not None and self._put_yield(item, JSON, *written)
        try:
            data, blob, size = self._payloads.write(value)
        except ValueRefused as error:
            self._fail_refused(item, "a value that the generator yielded was not taken", error)
            return False
        except BaseException as error:  # as for unpickling  # noqa: BLE001
            what = f"the generator yielded {with_article(type(value).__name__)}, which can't be pickled"
            self.fail(item, error, "serialization", what)
            return False
        return self._put_yield(item, PICKLE, data, blob, size)

    def _put_yield(self, item: Input, format: int, data: bytes, blob: str | None, size: int) -> bool:
        assert item.window is not None
        self._end_lines(item)
        # Another thread may answer just now, with a timeout: no value follows that, and it counts those before it.
        with self._claims:
            if item.answered:
                return False
            row = [item.input_id, item.window.note(size), format, blob, size]
            self.link.put_row(YIELDS, row if item.run is None else [*row, item.run], data)
        return True

    def _answer(self, item: Input, row: list[object], data: bytes) -> None:
        if not self._claim(item):
            return
        self._end_lines(item)
        if item.run is not None:
            row = [*row, item.run]
        # First into the outbox, then no longer held: a reconnection in between must find it.
        self.link.put_row(OUTPUTS, row, data)
        # A generator runs again, and a blob is the agent's as soon as it was named.
        if item.keep and item.window is None:
            _, _, blob, *_ = row
            if blob is None:
                self.link.keep(item.input_id, OUTPUTS, row, data)
        self.held.pop(item.input_id, None)

    def fail(self, item: Input, error: BaseException, kind: str = "exception", what: str = "") -> None:
        """Answer with a failure made of an exception."""
        from wherry_runner.failures import describe  # noqa: PLC0415 - start-up cost: 9 ms and 1.7 MiB, only for failures

        header, data = describe(error, kind)
        if what:
            header["message"] = f"{what}: {header['type'].removeprefix('builtins.')}: {header['message']}"[: 64 << 10]
            data = b""
        self._fail(item, header, data)

    def _fail_refused(self, item: Input, what: str, why: Exception) -> None:
        # Its traceback would tell of the runner's own code alone.
        from wherry_runner.failures import fields  # noqa: PLC0415 - start-up cost: 9 ms and 1.7 MiB, only for failures

        self._fail(item, fields("serialization", "wherry.exception.SerializationError", f"{what}: {why}"), b"")

    def fail_ended(self, item: Input, error: BaseException | None = None) -> None:
        """Answer for an input that was ended from outside; `error` tells where it was."""
        from wherry_runner.failures import cancelled, describe, timed_out  # noqa: PLC0415 - start-up cost: 9 ms and 1.7 MiB, only for failures

        trace = describe(error)[0]["traceback"] if error is not None else ""
        header, data = timed_out(self.timeout_s, trace) if item.ended_by == "timeout" else cancelled(trace)
        self._fail(item, header, data)

    def _fail(self, item: Input, header: Header, data: bytes) -> None:
        if not self._claim(item):
            return
        self._end_lines(item)
        header |= {"t": "failure", "input": item.input_id, "num_yields": item.window.index if item.window else 0}
        if item.run is not None:
            header["run"] = item.run
        parts = [data]
        self.link.put_frame(header, parts)
        if item.keep and item.window is None:
            self.link.keep(item.input_id, FRAME, header, parts)
        self.held.pop(item.input_id, None)

    def _claim(self, item: Input) -> bool:
        """An input is answered once, whoever comes first: its function, its timeout, its cancellation."""
        with self._claims:
            if item.answered:
                return False
            item.answered = True
        self.leave_terminal(item.input_id)
        return True

    def _end_lines(self, item: Input) -> None:
        for stream in self._streams:
            # A generator comes by here with each value.
            if stream.begun or stream.buffer.begun:
                stream.end_line(item.input_id)
        self._pipes.end_lines(item.input_id)

    def finish(self, item: Input) -> None:
        """Note an input as not running any more; for executors with several at a time."""
        self.running.pop(item.input_id, None)
        self._name_only()

    def flush_soon(self) -> None:
        """After an answer: send now, unless more is about to come."""
        link = self.link
        if not self.inbox or monotonic() - link.flushed_at > BATCH_S:
            link.flush(wait=False)

    # Time

    def next_deadline(self) -> float | None:
        """Seconds until the first running input's deadline."""
        deadlines = [item.deadline for item in list(self.running.values()) if not item.ended_by]
        return max(0.0, min(deadlines) - monotonic()) if deadlines else None

    def overdue(self) -> Iterable[Input]:
        """Running inputs past their deadline."""
        now = monotonic()
        return [item for item in list(self.running.values()) if item.deadline < now and not item.ended_by]
