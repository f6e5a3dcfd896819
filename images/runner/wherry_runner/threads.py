"""Several inputs at a time, each on a thread of its own: for plain functions and generators."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue
from time import monotonic
from typing import Any

from wherry_runner.executor import Desk
from wherry_runner.inputs import Input, Window
from wherry_runner.watch import Keeper, Watch


class ThreadsExecutor:
    """Implements `executor.Executor`. The main thread reads the socket; workers send their answers themselves.

    A thread is not interrupted: an exception raised in it from outside could hit it inside a print, holding a lock.
    An input that is to end is answered so at once, its thread is given up and runs on
    unheard, and another takes its slot.
    """

    stands_in = False

    def __init__(self, desk: Desk, watch: Watch, keeper: Keeper, concurrency: int, is_generator: bool) -> None:
        self.desk = desk
        self._keeper = keeper
        self._watch = watch
        self._concurrency = concurrency
        self._target = (desk.function, is_generator, False)
        self._tickets: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.Lock()
        self._workers = 0
        self._free = 0

    def run(self) -> None:
        self._watch.take_role()
        while not (self.desk.ending and not self.desk.held):
            self._watch.wait()
        self._watch.role.release()

    def finish(self) -> None:
        """Nothing is left."""

    def start_more(self) -> None:
        with self._lock:
            waiting = len(self.desk.inbox)
            for _ in range(min(waiting - self._free, self._concurrency - self._workers)):
                self._hire()
        # A ticket too many does no harm: its worker finds the inbox empty.
        for _ in range(waiting):
            self._tickets.put(None)

    def _hire(self) -> None:
        self._workers += 1
        self._free += 1
        threading.Thread(target=self._work, name="wherry-input", daemon=True).start()

    def end(self, item: Input, by: str) -> None:
        with self._lock:
            if item.ended_by or item.answered:
                return
            item.ended_by = by
            self._workers -= 1
        self.desk.fail_ended(item)
        self.desk.finish(item)
        self.desk.link.flush(wait=False)
        if isinstance(item.window, ThreadWindow):
            item.window.changed.set()
        with self._lock:
            if self._workers < self._concurrency and self.desk.inbox:
                self._hire()
        self._watch.wake()

    # A worker

    def _work(self) -> None:
        desk = self.desk
        while True:
            self._tickets.get()
            try:
                item = desk.inbox.popleft()
            except IndexError:
                continue  # it was recalled or cancelled
            with self._lock:
                self._free -= 1
            desk.begin(item)
            if self._keeper.parked:
                self._keeper.nudge()
            try:
                if not item.ended_by:
                    # What it sets of context variables is its own, though the thread runs others after it.
                    copy_context().run(self._run, item)
            except BaseException as error:  # noqa: BLE001
                # Asked to end as it was about to answer.
                if not item.ended_by:
                    desk.fail(item, error)
            with self._lock:
                if item.ended_by:
                    return  # its slot has gone to another
                self._free += 1
            desk.finish(item)
            desk.flush_soon()
            if desk.ending and not desk.held:
                self._watch.wake()

    def _run(self, item: Input) -> None:
        desk = self.desk
        target = self._target if desk.methods is None else desk.method(item)
        call = desk.unpickle(item) if target is not None else None
        if call is None or target is None:
            return
        function, is_generator, _ = target
        try:
            if is_generator:
                self._generate(item, function(*call[0], **call[1]))
                return
            value = function(*call[0], **call[1])
        except BaseException as error:  # noqa: BLE001
            if not item.ended_by:
                desk.fail(item, error)
            return
        if not item.ended_by:
            desk.give(item, value)

    def _generate(self, item: Input, values: Any) -> None:
        desk, link = self.desk, self.desk.link
        window = item.window = ThreadWindow()
        close: Callable[[], None] = getattr(values, "close", lambda: None)
        try:
            for value in values:
                if item.ended_by or not desk.give_yield(item, value):
                    return
                if window.is_full or monotonic() - link.flushed_at > 0.001:
                    link.flush(wait=False)
                window.wait(lambda: bool(item.ended_by))
                if item.ended_by:
                    return
        finally:
            close()
        desk.give_end(item)

    # The keeper's

    def current(self) -> object:
        return self if self.desk.running else None

    def next_deadline(self) -> float | None:
        return self.desk.next_deadline()

    def on_time(self) -> None:
        for item in self.desk.overdue():
            self.end(item, "timeout")


class ThreadWindow(Window):
    """A window that another thread can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self.changed = threading.Event()

    def note(self, size: int) -> int:
        with self._lock:
            return super().note(size)

    def take(self, below: int) -> None:
        with self._lock:
            super().take(below)
        self.changed.set()

    def wait(self, given_up: Callable[[], bool]) -> None:
        """Wait until the caller has taken enough, or until `given_up`."""
        while self.is_full and not given_up():
            self.changed.clear()
            if self.is_full and not given_up():
                self.changed.wait()
