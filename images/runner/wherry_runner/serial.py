"""One input at a time, on the main thread: the fast way, for plain functions and generators."""

from __future__ import annotations

import os
import sys
from _contextvars import copy_context
from time import monotonic

from wherry_runner.context import call_id, input_id
from wherry_runner.executor import Desk
from wherry_runner.inputs import Input, Window
from wherry_runner.interrupt import Interrupter
from wherry_runner.watch import Keeper, Watch

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


# Exceptions of user code's own that came while none of it was running.
MAX_SURVIVED = 100


class SerialExecutor:
    """Implements `executor.Executor`."""

    stands_in = True

    def __init__(self, desk: Desk, watch: Watch, keeper: Keeper, interrupter: Interrupter, is_generator: bool) -> None:
        self.desk = desk
        self._keeper = keeper
        self._watch = watch
        self._interrupter = interrupter
        self._is_generator = is_generator
        self._current: Input | None = None
        self._reading = False
        self._survived = 0
        self._pid = os.getpid()
        interrupter.install()

    def run(self) -> None:
        self._watch.take_role()
        self._reading = True
        while True:
            try:
                self._work()
                if self._reading:
                    self._watch.role.release()
                return
            except BaseException as error:
                item = self._current
                self._interrupter.armed = None
                if item is not None and item.ended_by:
                    # An interrupt came as its user code was just over.
                    self.desk.fail_ended(item, error)
                elif self._survived < MAX_SURVIVED and not _is_ours(error):
                    # A signal's handler of user code's own (an alarm, say) raised when its function was over.
                    self._survive(item, error)
                else:
                    raise  # our own fault: it ends us

    def finish(self) -> None:
        """Nothing is left."""

    def _survive(self, item: Input | None, error: BaseException) -> None:
        self._survived += 1
        # It may have cost frames that had just come: on a new connection the agent offers them again.
        if not self._reading:
            self._watch.take_role()
            self._reading = True
        self._watch.hang_up()
        if item is not None and not item.answered:
            self.desk.fail(item, error)
        else:
            from wherry_runner.failures import text_of  # noqa: PLC0415 - start-up cost: 9 ms and 1.7 MiB, only for failures

            print("raised when no function was running:", text_of(error), sep="\n", file=sys.stderr)

    def start_more(self) -> None:
        """Nothing to do: the main thread looks into the inbox."""

    def end(self, item: Input, by: str) -> None:
        if item.ended_by or item.answered:
            return
        item.ended_by = by
        if item is self._current:
            self._interrupter.interrupt()

    # The main thread

    def _work(self) -> None:
        desk, link, inbox, watch = self.desk, self.desk.link, self.desk.inbox, self._watch
        run = self._run_generator if self._is_generator else self._run_function
        if desk.methods is not None:
            run = self._run_method
        while True:
            try:
                item = inbox.popleft()
            except IndexError:
                self._current = input_id.only = call_id.only = None
                if link.has_unsent:
                    link.flush()
                if desk.ending and not inbox:
                    return
                self._read()
                continue
            if self._reading:
                self._reading = False
                watch.role.release()
            item.deadline = monotonic() + desk.timeout_s
            self._current = item
            input_id.only, call_id.only = item.input_id, item.call_id
            if self._keeper.parked:
                self._keeper.nudge()
            run(item)
            desk.flush_soon()

    def _read(self) -> None:
        if not self._reading:
            self._watch.take_role()
            self._reading = True
            if self.desk.inbox:
                return
        self._watch.wait()

    def _run_method(self, item: Input) -> None:
        target = self.desk.method(item)
        if target is not None:
            # One input at a time runs here.
            self.desk.function, is_generator, _ = target
            self._run_generator(item) if is_generator else self._run_function(item)

    def _run_function(self, item: Input) -> None:
        desk, interrupter = self.desk, self._interrupter
        call = desk.unpickle(item)
        if call is None:
            return
        args, kwargs = call
        try:
            interrupter.armed = item
            if item.ended_by:
                interrupter.check()
            # What it sets of context variables is its own.
            value = copy_context().run(desk.function, *args, **kwargs)
            interrupter.armed = None
        except BaseException as error:  # noqa: BLE001
            interrupter.armed = None
            self._leave_child()
            if item.ended_by:
                desk.fail_ended(item, error)
            else:
                desk.fail(item, error)
            return
        del args, kwargs, call
        self._leave_child()
        if item.ended_by:
            desk.fail_ended(item)
        else:
            desk.give(item, value)

    def _run_generator(self, item: Input) -> None:
        desk = self.desk
        item.window = Window()
        call = desk.unpickle(item)
        if call is None:
            return
        values: Iterator[Any] | None = None
        error: BaseException | None = None
        in_context = copy_context().run
        try:
            values = iter(self._guarded(item, lambda: in_context(desk.function, *call[0], **call[1])))
            following = values.__next__
            while True:
                try:
                    value = self._guarded(item, in_context, following)
                except StopIteration:
                    break
                if not desk.give_yield(item, value):
                    break
                del value
                self._await_window(item)
                if item.ended_by:
                    break
        except BaseException as raised:  # noqa: BLE001
            error = raised
        self._leave_child()
        if item.ended_by or item.answered:
            error = in_context(self._close, values) or error
        if item.ended_by:
            desk.fail_ended(item, error)
        elif error is not None:
            desk.fail(item, error)
        else:
            desk.give_end(item)

    def _guarded(self, item: Input, call: Any, *arguments: Any) -> Any:
        """Run user code that an interrupt may end."""
        interrupter = self._interrupter
        try:
            interrupter.armed = item
            if item.ended_by:
                interrupter.check()
            return call(*arguments)
        finally:
            interrupter.armed = None

    def _close(self, values: Any) -> BaseException | None:
        """Run what the generator has in `finally`."""
        close = getattr(values, "close", None)
        if close is not None:
            try:
                close()
            except BaseException as error:  # user code  # noqa: BLE001
                return error
        return None

    def _await_window(self, item: Input) -> None:
        """Send what is due; wait while the generator is too far ahead of its caller."""
        assert item.window is not None
        link = self.desk.link
        if not item.window.is_full:
            # A value alone goes at once; while they come fast, they travel together.
            if monotonic() - link.flushed_at > 0.001:
                link.flush(wait=False)
            return
        link.flush()
        self._watch.take_role()
        try:
            while item.window.is_full and not item.ended_by:
                self._watch.wait(self.next_deadline())
                self.on_time()
        finally:
            self._watch.role.release()

    def _leave_child(self) -> None:
        # A user's os.fork() without exec brings its child back to here.
        if os.getpid() != self._pid:
            os._exit(0)

    # The keeper's

    def current(self) -> object:
        return self._current

    def next_deadline(self) -> float | None:
        item = self._current
        return None if item is None or item.ended_by else max(0.0, item.deadline - monotonic())

    def on_time(self) -> None:
        item = self._current
        if item is not None and monotonic() > item.deadline:
            self.end(item, "timeout")


def _is_ours(error: BaseException) -> bool:
    """Whether it was raised by the runner's own code, not by what that was interrupted by."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is None or trace.tb_frame.f_code.co_filename.startswith(os.path.dirname(__file__))
