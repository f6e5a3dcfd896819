"""The runner's life: hello, load, run inputs until it is told to end, bye."""

from __future__ import annotations

import atexit
import faulthandler
import os
import sys

# The C half of `signal`: enum, which the other half needs, costs 2 ms.
from _signal import (  # type: ignore[import-not-found]
    SIG_DFL,
    SIGINT,
    SIGTERM,
    default_int_handler,
    signal,
)
from _thread import LockType, allocate_lock, start_new_thread
from time import perf_counter

from wherry_runner import context, descriptors, lean
from wherry_runner.inputs import Input, Intake
from wherry_runner.interrupt import SIGNAL, Interrupter
from wherry_runner.link import Link
from wherry_runner.output import Lines, Pipes, Stream
from wherry_runner.terminal import Terminal, breakpoint_hook
from wherry_runner.watch import Keeper, Watch

EBADF = 9  # errno.EBADF

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry_runner.classes import Instance
    from wherry_runner.executor import Desk, Executor
    from wherry_runner.frames import Frame, Header
    from wherry_runner.web import WebExecutor

FAULT = 70
# The exit code that says: user code has closed the runner's descriptors.
CLOSED = 71
# What exit hooks may take together, where the agent says nothing else.
EXIT_TIMEOUT_S = 30.0


# large: it assembles a container's parts, and has each of them
class Runner:
    """One container's runner, under `directory` (`/run/wherry`).

    `begin_again` replaces this process by one that starts with the environment as it is then; None: it has done so.
    """

    def __init__(self, directory: str, begin_again: Callable[[], None] | None) -> None:
        self._directory = directory
        self._begin_again = begin_again
        self._link = Link(os.path.join(directory, "runner.sock"))
        self._interrupter = Interrupter()
        lines = Lines(self._link)
        self._pipes = Pipes(lines)
        self._streams = (Stream(1, lines, self._interrupter), Stream(2, lines, self._interrupter))
        self._watch = Watch(self._link, self._pipes, self._connect, self._on_frames, self._on_drain)
        self._keeper = Keeper(self._watch, self._link, _Loading(), self.report_fault)
        lines.nudge = self._keeper.nudge
        self._intake = Intake()
        self._load: tuple[Header, list[bytes]] | None = None
        self._instance: Instance | None = None
        self._executor: Executor | None = None
        self._web: WebExecutor | None = None
        self._terminal: Terminal | None = None
        self._ending = False
        self._has_said_bye = False
        self._has_told_alone = False

    def run(self) -> int:
        """Return the exit code."""
        self._take_over_process()
        self._watch.take_role()
        while self._load is None and not self._ending:
            self._watch.wait()
        self._watch.role.release()
        if self._load is not None:
            began = perf_counter()
            self._keeper.nudge()
            try:
                executor = self._make_executor(*self._load)
            except BaseException as error:  # whatever user code raises as it is imported, SystemExit as well  # noqa: BLE001
                self._fail_to_load(error, self._load[0])
                return 1
            self._be_ready(executor, perf_counter() - began)
            executor.run()
            if self._instance is not None or self._web is not None:
                self._say_bye()
                self._run_exit_hooks(executor, float(self._load[0].get("exit_timeout_s") or EXIT_TIMEOUT_S))
            else:
                executor.finish()
        self._leave()
        return 0

    def _take_over_process(self) -> None:
        sys.stdout = sys.__stdout__ = self._streams[0]  # type: ignore[assignment,misc]
        sys.stderr = sys.__stderr__ = self._streams[1]  # type: ignore[assignment,misc]
        # A crash is told where the engine keeps the container's own log.
        faulthandler.enable(self._pipes.original_stderr)
        signal(SIGTERM, self._on_signal)
        signal(SIGINT, self._on_signal)
        descriptors.guard()
        os.register_at_fork(after_in_child=self._become_child)

    # Loading

    def _make_executor(self, frame: Header, parts: list[bytes]) -> Executor:
        lean.load_pickle()
        from wherry_runner.executor import Desk  # noqa: PLC0415 - start-up cost: 2 ms and 0.3 MiB (pickle), after the hello
        from wherry_runner.loader import is_server, load, set_variables, tell_children, wraps_coroutine  # noqa: PLC0415 - start-up cost: as above
        from wherry_runner.payload import Payloads  # noqa: PLC0415 - start-up cost: as above

        serialized, parameters, secrets, *_ = *parts, b"", b"", b""
        if set_variables(frame, secrets, self._begin_again is not None) and self._begin_again is not None:
            # The agent sees a connection that breaks, and gives the order again.
            self._pipes.give_back()
            self._begin_again()
        tell_children(self._directory, context.sdk)
        terminal = self._terminal = Terminal(self._intake, self._interrupter, self._on_signal)
        context.terminal = terminal
        sys.breakpointhook = breakpoint_hook
        function = load(frame, serialized, self._settle())
        spec = frame["function"]
        timeout_s = float(frame.get("timeout_s") or 300.0)
        payloads = Payloads(self._directory)
        batch = frame.get("batch")
        if batch:
            from wherry_runner.batches import BatchDesk as Desk  # noqa: PLC0415 - start-up cost: 0.4 ms, only for batches
        desk = Desk(self._link, self._intake, self._pipes, self._streams, payloads, function, timeout_s)
        desk.leave_terminal = terminal.leave
        concurrency = int(frame.get("concurrency") or 1)
        methods = spec.get("methods") or []
        is_async = bool(spec.get("is_async")) or any(is_task for _, _, is_task in methods)
        is_generator = bool(spec.get("is_generator"))
        # Plain functions beside, or around, coroutine functions.
        is_mixed = not all(is_task for _, _, is_task in methods) if is_async else wraps_coroutine(function)
        web = spec.get("web")
        if frame.get("import_only"):
            return self._executor_of(desk, 1, False, False)
        if web:
            from wherry_runner.web import WebExecutor  # noqa: PLC0415 - start-up cost: 84 ms and 6.7 MiB (asyncio), only for web endpoints

            executor: Executor = WebExecutor(desk, self._watch, self._keeper, concurrency)
        elif is_mixed and concurrency == 1:
            from wherry_runner.mixed import MixedExecutor  # noqa: PLC0415 - start-up cost: 45 ms and 6.4 MiB (asyncio), only for such functions

            executor = MixedExecutor(desk, self._watch, self._keeper, self._interrupter, is_generator, is_async)
        else:
            executor = self._executor_of(desk, concurrency, is_generator, is_async, is_mixed)
        if methods or is_server(web):
            from wherry_runner.classes import Instance  # noqa: PLC0415 - start-up cost: 0.1 ms, only for classes

            self._instance = Instance(function, parameters, getattr(executor, "loop", None))
            entered = self._instance.enter(methods)
            # A server has none.
            desk.methods = entered or None
        if web:
            self._web = executor  # type: ignore[assignment]
            executor.open(web, str(spec.get("name")))  # type: ignore[attr-defined]
        if batch:
            from wherry_runner.batches import gather  # noqa: PLC0415 - start-up cost: as above

            return gather(executor, desk, self._watch, int(batch["max_size"]), float(batch["wait_ms"]) / 1000)
        return executor

    def _settle(self) -> str:
        """Return where the user's modules are."""
        source = os.path.join(self._directory, "source")
        if not context.settles:
            return source
        from wherry_runner.root import settle  # noqa: PLC0415 - start-up cost: 0.1 ms, after the hello

        return settle(source)

    def _executor_of(
        self, desk: Desk, concurrency: int, is_generator: bool, is_async: bool, is_mixed: bool = False
    ) -> Executor:
        # Each way of running imports what it needs: asyncio costs 8 MiB, threading half a MiB.
        if is_async or is_mixed:
            from wherry_runner.tasks import TasksExecutor  # noqa: PLC0415 - start-up cost: 36 ms and 6.3 MiB (asyncio), only for coroutine functions

            return TasksExecutor(desk, self._watch, self._keeper, concurrency, is_generator, is_async)
        if concurrency > 1:
            from wherry_runner.threads import ThreadsExecutor  # noqa: PLC0415 - start-up cost: 6 ms and 1.4 MiB (threading), only for several inputs at once

            return ThreadsExecutor(desk, self._watch, self._keeper, concurrency, is_generator)
        from wherry_runner.serial import SerialExecutor  # noqa: PLC0415 - start-up cost: 0.1 ms, only where the others are not loaded

        return SerialExecutor(desk, self._watch, self._keeper, self._interrupter, is_generator)

    def _be_ready(self, executor: Executor, seconds: float) -> None:
        self._end_lines()
        # With the role in hand no frame is handled in another thread while the executor takes over.
        self._watch.take_role()
        self._link.put_frame({"t": "ready", "seconds": round(seconds, 6)})
        self._link.flush()
        executor.desk.ending = self._ending
        self._executor = executor
        self._keeper.charge = executor
        executor.start_more()
        self._watch.role.release()

    def _fail_to_load(self, error: BaseException, frame: Header) -> None:
        from wherry_runner.failures import describe, fields, missing_module_hint  # noqa: PLC0415 - start-up cost: 9 ms and 1.7 MiB, only for failures
        from wherry_runner.loader import LoadError  # noqa: PLC0415 - start-up cost: as above

        own_module = str(frame["function"].get("module", ""))
        hint = missing_module_hint(error, own_module) if isinstance(error, ImportError) else ""
        if isinstance(error, LoadError):
            # Ours, not the user's: a client could not unpickle it, and its traceback says nothing.
            header, data = fields("exception", "wherry.exception.ExecutionError", str(error)), b""
        else:
            header, data = describe(error, hint=hint)
        self._end_lines()
        self._link.put_frame({**header, "t": "load_failed"}, [data])
        self._link.flush()

    def _end_lines(self) -> None:
        for stream in self._streams:
            stream.end_line(None)
        self._pipes.end_lines()

    # Frames: in the main thread, or in the keeper's

    def _connect(self) -> int:
        try:
            return self._link.connect(list(self._intake.held), self._executor is not None)
        except OSError as error:
            if self._load is None and not self._has_told_alone:
                # Its engine may see other files than the service does: it looks for this line (node/silence.py).
                self._has_told_alone = True
                text = f"wherry: no service is reached at {self._directory}/runner.sock: {error.strerror}\n"
                os.write(self._pipes.original_stderr, text.encode())
            raise

    def _on_frames(self, frames: list[Frame]) -> None:
        for header, parts in frames:
            kind = header["t"]
            if kind == "inputs" and self._ending:
                self._refuse([input_id for input_id, *_ in header["rows"] if input_id not in self._intake.held])
            elif kind == "inputs":
                keep, runs = header.get("keep", ()), header.get("runs", ())
                if self._intake.take_in(header["rows"], parts, keep, runs) and self._executor is not None:
                    self._executor.start_more()
            elif kind == "taken":
                self._on_taken(header["rows"])
            elif kind == "kept":
                self._link.forget(header["inputs"])
            elif kind == "web":
                item = self._intake.held.get(header["input"])
                if item is not None and self._web is not None:
                    self._web.hear(item, header, b"".join(parts))
                elif item is not None:
                    item.early.append((header, b"".join(parts)))
            elif kind == "cancel":
                self._on_cancel(header["inputs"])
            elif kind == "recall":
                self._answer_now({"t": "returned", "inputs": self._intake.give_back()})
            elif kind == "ping":
                self._answer_now({"t": "pong"})
            elif kind == "drain":
                self._on_drain()
            elif kind == "load" and self._load is None:
                self._load = (header, parts)

    def _answer_now(self, header: Header, parts: tuple[bytes, ...] = ()) -> None:
        self._link.put_frame(header, parts)
        self._link.flush(wait=False)

    def _on_taken(self, rows: list[tuple[str, int]]) -> None:
        for input_id, below in rows:
            item = self._intake.held.get(input_id)
            if item is not None and item.window is not None:
                item.window.take(below)

    def _on_cancel(self, input_ids: list[str]) -> None:
        for input_id in input_ids:
            item = self._intake.held.get(input_id)
            if item is None:
                continue  # its answer is on its way
            if self._intake.drop(item):
                self._drop(item)
            elif self._executor is not None:
                self._executor.end(item, "cancelled")
        self._link.flush(wait=False)

    def _drop(self, item: Input) -> None:
        """Answer for an input that was cancelled before it started."""
        from wherry_runner.failures import cancelled  # noqa: PLC0415 - start-up cost: 9 ms and 1.7 MiB, only for failures

        header, data = cancelled()
        self._link.put_frame(
            {"t": "failure", "input": item.input_id, "num_yields": 0, "run": item.run, **header}, (data,)
        )
        self._intake.held.pop(item.input_id, None)

    # The end

    def _on_drain(self) -> None:
        self._ending = True
        if self._executor is not None:
            self._executor.desk.ending = True
        if self._web is not None:
            self._web.drain()
        self._watch.wake()

    def _on_signal(self, number: int, frame: object) -> None:
        if number == SIGINT and self._terminal is not None and self._terminal.is_joined:
            self._terminal.interrupt()
            return
        self._on_drain()
        # What has not begun runs elsewhere: it need not wait for what runs here, which may be long.
        unstarted = self._intake.give_back()
        if unstarted:
            self._refuse(unstarted)

    def _leave(self) -> None:
        atexit._run_exitfuncs()  # noqa: SLF001 - they have to run before the goodbye
        self._end_lines()
        self._say_bye()
        self._link.flush()

    def _say_bye(self) -> None:
        if not self._has_said_bye:
            self._has_said_bye = True
            self._link.put_frame({"t": "bye", "code": 0})
            self._link.flush(wait=False)

    def _refuse(self, input_ids: list[str]) -> None:
        """Give back inputs that come although this container ends: its agent may not know of it yet."""
        self._say_bye()
        if input_ids:
            self._answer_now({"t": "returned", "inputs": input_ids})

    def _run_exit_hooks(self, executor: Executor, seconds: float) -> None:
        # While they run the keeper reads, and sends what they print.
        self._keeper.charge = _Loading()
        ended = allocate_lock()
        ended.acquire()
        start_new_thread(self._leave_late, (ended, seconds))
        self._keeper.nudge()
        if self._web is not None:
            self._web.close()
        if self._instance is not None:
            self._instance.exit()
        executor.finish()
        ended.release()

    def _leave_late(self, ended: LockType, seconds: float) -> None:
        """End the container in spite of exit hooks that do not."""
        if ended.acquire(True, seconds):
            return
        print(f"the exit hooks did not end within {seconds:g} s: the container ends without them", file=sys.stderr)
        self._end_lines()
        self._link.flush()
        os._exit(0)

    def _become_child(self) -> None:
        """After a user's fork: the socket, the threads and the signals' meaning are the parent's."""
        descriptors.become_child()
        for stream in self._streams:
            stream.write_through_descriptor()
        self._link.abandon()
        signal(SIGTERM, SIG_DFL)
        signal(SIGINT, default_int_handler)
        signal(SIGNAL, SIG_DFL)

    def report_fault(self, error: BaseException) -> None:
        """End at once for a fault of our own, and tell it in the container's own log."""
        from traceback import format_exception  # noqa: PLC0415 - start-up cost: 5 ms and 0.9 MiB, only for a fault of ours

        try:
            text = "".join(format_exception(type(error), error, error.__traceback__))
        except BaseException:  # user code's own may raise as it is formatted  # noqa: BLE001
            text = type(error).__name__
        is_closed = isinstance(error, OSError) and error.errno == EBADF
        try:  # noqa: SIM105
            os.write(self._pipes.original_stderr, f"the runner failed: {text}".encode("utf-8", "replace"))
        except OSError:
            pass  # it is closed as well
        # Not sys.exit: this may be the keeper's thread.
        os._exit(CLOSED if is_closed else FAULT)


class _Loading:
    """What the keeper watches over while user code is imported: its output, and frames that come early."""

    stands_in = True

    def current(self) -> object:
        return self

    def next_deadline(self) -> float | None:
        return None

    def on_time(self) -> None:
        """Nothing: the agent sees to the start-up timeout."""
