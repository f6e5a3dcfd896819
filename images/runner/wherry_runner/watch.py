"""Who reads the socket, and when.

A thread of its own for reading would cost each call a hop between threads: 60 µs, measured, of some 400. So the
main thread reads while it has nothing to run, and a second thread, the keeper, stands in only while user code has
kept the main thread for longer than a tick. Until the first input there is no second thread at all.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, start_new_thread
from select import EPOLLIN
from time import monotonic

from wherry_runner import descriptors
from wherry_runner.link import Link
from wherry_runner.output import Pipes

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from wherry_runner.frames import Frame

TICK_S = 0.005
SLOW_TICK_S = 0.05
IDLE_TICKS = 20
RECONNECT_S = 0.1
RECONNECT_FOR_S = 600.0


class Watch:
    """Waits for the socket, the pipes of standard output and the wake-up pipe. Only the holder of `role` waits."""

    def __init__(
        self,
        link: Link,
        pipes: Pipes,
        connect: Callable[[], int],
        on_frames: Callable[[list[Frame]], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.role = allocate_lock()
        self.wanted = False
        self._link = link
        self._pipes = pipes
        self._connect = connect
        self._on_frames = on_frames
        self._on_lost = on_lost
        self._wake_out, self._wake_in = map(descriptors.move, os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
        self._epoll = descriptors.new_epoll()
        self._epoll.register(self._wake_out, EPOLLIN)
        for fd in pipes.fds:
            self._epoll.register(fd, EPOLLIN)
        self._socket_fd = -1
        self._lost_since: float | None = None
        self._next_try = 0.0

    def fileno(self) -> int:
        """Readable when `wait` has something to do: for an event loop."""
        return self._epoll.fileno()

    @property
    def is_connected(self) -> bool:
        return self._socket_fd >= 0

    def check(self) -> None:
        """Raise OSError if user code has closed what is waited on: who waits at that time would not hear of it."""
        os.fstat(self._epoll.fileno())

    def wake(self) -> None:
        """End a `wait` in whatever thread it is. Safe in a signal handler."""
        try:  # noqa: SIM105
            os.write(self._wake_in, b"w")
        except BlockingIOError:
            pass  # the pipe is full of wake-ups already

    def take_role(self) -> None:
        """Become the one who waits; the keeper gives way."""
        if not self.role.acquire(False):
            self.wanted = True
            self.wake()
            self.role.acquire()
            self.wanted = False

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until something arrives and handle it, at most `timeout_s` seconds. The caller holds `role`."""
        if self._socket_fd < 0 and not self._reconnect():
            timeout_s = RECONNECT_S if timeout_s is None else min(timeout_s, RECONNECT_S)
        for fd, _ in self._epoll.poll(timeout_s):
            if fd == self._socket_fd:
                frames = self._link.receive()
                if frames is None:
                    self._disconnect()
                else:
                    self._on_frames(frames)
            elif fd == self._wake_out:
                os.read(fd, 4096)
            elif not self._pipes.pump_one(fd):
                self._epoll.unregister(fd)

    def hang_up(self) -> None:
        """Connect anew at the next `wait`. The caller holds `role`."""
        if self._socket_fd >= 0:
            self._disconnect()

    def _disconnect(self) -> None:
        self._epoll.unregister(self._socket_fd)
        self._socket_fd = -1
        self._link.close()
        # An event loop waits for the descriptors only: it must come and connect anew.
        self.wake()

    def _reconnect(self) -> bool:
        now = monotonic()
        if self._lost_since is None:
            self._lost_since = now
        if now < self._next_try:
            return False
        self._next_try = now + RECONNECT_S
        try:
            fd = self._connect()
        except OSError:
            if now - self._lost_since > RECONNECT_FOR_S:
                self._on_lost()
            return False
        self._lost_since = None
        self._socket_fd = fd
        self._epoll.register(fd, EPOLLIN)
        self._link.flush(wait=False)
        return True


if TYPE_CHECKING:

    class Charge(Protocol):
        """What the keeper watches over: the loading of user code, or an executor."""

        stands_in: bool

        def current(self) -> object:
            """What goes on right now (the same object as long as it does), None: nothing."""

        def next_deadline(self) -> float | None:
            """Seconds to the first deadline, None: there is none."""

        def on_time(self) -> None:
            """End what has passed its deadline."""


class Keeper:
    """The second thread. Sends what would else wait behind a slow input, and stands in as reader."""

    def __init__(self, watch: Watch, link: Link, charge: Charge, on_fault: Callable[[BaseException], None]) -> None:
        self.charge = charge
        self.parked = True
        self._watch = watch
        self._link = link
        self._on_fault = on_fault
        self._starting = allocate_lock()
        self._gate = allocate_lock()
        self._gate.acquire()
        self._started = False
        self._nudged = False
        self._standing = False
        self._tick = TICK_S

    def nudge(self) -> None:
        """Have it look soon: there is something to send, or an input begins. From any thread."""
        if not self._started:
            if self._starting.acquire(False):
                self._started = True
                start_new_thread(self._run, ())
        elif self._nudged:
            pass
        elif self._standing:
            self._nudged = True
            self._watch.wake()
        elif self.parked or self._tick > TICK_S:
            self._nudged = True
            self._open_gate()

    def _open_gate(self) -> None:
        try:  # noqa: SIM105
            self._gate.release()
        except RuntimeError:
            pass  # it is open: another thread has just nudged

    def _run(self) -> None:
        try:
            self.parked = False
            while True:
                self._keep()
                self.parked = True
                # Whoever begins something looks at `parked` after that, so one of us sees the other.
                if self.charge.current() is None and not self._link.has_unsent:
                    self._gate.acquire()
                self.parked = False
        except BaseException as error:  # noqa: BLE001
            self._on_fault(error)

    def _keep(self) -> None:
        """Look, tick by tick, until nothing has gone on for a while."""
        idle = 0
        last: object = None
        self._tick = TICK_S
        while idle < IDLE_TICKS:
            self._gate.acquire(True, self._tick)
            self._flush()
            charge = self.charge
            current = charge.current()
            if current is None:
                idle, last, self._tick = idle + 1, None, TICK_S
                continue
            idle = 0
            self._watch.check()
            charge.on_time()
            if current is last and charge.stands_in:
                self._stand_in(current)
                last = None
                continue
            if current is last:
                self._tick = min(self._tick * 1.5, SLOW_TICK_S)
            last = current
            # The main thread goes from input to input, or blocks its event loop.
            if self._watch.role.acquire(False):
                try:
                    self._watch.wait(0)
                finally:
                    self._watch.role.release()

    def _flush(self) -> None:
        self._nudged = False
        if self._link.has_unsent:
            self._link.flush(wait=False)
            self._tick = TICK_S

    def _stand_in(self, current: object) -> None:
        watch, charge = self._watch, self.charge
        if watch.wanted or not watch.role.acquire(False):
            return
        self._standing = True
        try:
            while not watch.wanted and charge.current() is current:
                if self._link.has_unsent and self._link.is_open:
                    # Lines still being printed travel together.
                    watch.wait(TICK_S)
                    self._flush()
                else:
                    self._nudged = False
                    watch.wait(charge.next_deadline())
                charge.on_time()
        finally:
            self._standing = False
            watch.role.release()
