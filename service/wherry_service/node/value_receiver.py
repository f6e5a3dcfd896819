"""Takes the large values that containers send, each over a connection of its own, into files that they can't reach."""

import contextlib
import errno
import logging
import os
import selectors
import socket
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

# One read's worth. A socket holds less; where it does not, this is what reading costs least with.
CHUNK = 1 << 20
# Of one container: values that come at once, the others wait; values, and bytes, that came and are not named yet.
AT_ONCE = 16
MAX_WAITING = 4096
MAX_WAITING_BYTES = 16 << 30
# What stays free of the disk, whoever sends: this much, or that part of a small one.
LEAVES_FREE_BYTES = 1 << 30
LEAVES_FREE_PART = 20
# How often that is looked at.
_LOOK_EVERY_BYTES = 32 << 20
_PART = ".part"
_MODE = 0o644
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TooMuch(Exception):
    """A container sent more than it may; the message is for its code."""


class NoRoom(Exception):
    """The disk does not take what a container sends, but may later; the message is for its code."""


class ValueReceiver:
    """Receives for all containers of a node, in one thread: the interpreter's lock is free while bytes move.

    A container connects, sends a value's bytes, and says that they are all by shutting down its side. It is answered
    with a line: the name by which it may speak of that value, "!" and why it was refused, or "?" and what may have
    passed when it is sent again. A connection that ends
    without waiting for that leaves nothing behind.
    """

    def __init__(
        self,
        max_waiting: int = MAX_WAITING,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        leaves_free_bytes: int = LEAVES_FREE_BYTES,
    ) -> None:
        self.max_waiting = max_waiting
        self.max_waiting_bytes = max_waiting_bytes
        self.leaves_free_bytes = leaves_free_bytes
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_out, selectors.EVENT_READ, self._wake)
        self._lock = threading.Lock()
        self._orders: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self._buffer = memoryview(bytearray(CHUNK))

    def open(self, container_id: str, directory: int, listening: socket.socket) -> "ValueDesk":
        """Receive a container's values into an open directory, which nobody else writes.

        Values that an earlier life of the service has received are there already. Both descriptors become the desk's.
        """
        desk = ValueDesk(self, container_id, directory, listening)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="values", daemon=True)
                self._thread.start()
        self.order(desk.begin)
        return desk

    def order(self, work: Callable[[], None]) -> None:
        """Have the thread do something between two reads."""
        with self._lock:
            self._orders.append(work)
        with contextlib.suppress(BlockingIOError):
            self._wake_in.send(b"x")

    def close(self) -> None:
        """End the thread. Desks are closed before."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            self.order(self._end)
            thread.join()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    # In the thread

    def register(self, source: socket.socket, hear: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, hear)

    def unregister(self, source: socket.socket) -> None:
        self._selector.unregister(source)

    def read(self, source: socket.socket) -> memoryview:
        """Return what has arrived, valid until the next read; nothing: the other side has ended."""
        return self._buffer[: source.recv_into(self._buffer)]

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select():
                try:
                    key.data()
                except Exception:
                    log.exception("receiving values failed")

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_out.recv(4096):
                pass
        with self._lock:
            orders, self._orders = self._orders, []
        for work in orders:
            work()

    def _end(self) -> None:
        self._closed = True


class ValueDesk:
    """One container's values. `take` and `close` are for any thread, the rest is for the receiver's."""

    def __init__(self, receiver: ValueReceiver, container_id: str, directory: int, listening: socket.socket) -> None:
        self._receiver = receiver
        self._container_id = container_id
        self._directory = directory
        self._listening = listening
        self._listens = False
        self._incoming: set[_Incoming] = set()
        self._lock = threading.Lock()
        # Values that are whole and were not taken, and the bytes of these and of those that come.
        self._whole: dict[str, int] = {}
        self._bytes = 0
        self._told = False
        self._closed = threading.Event()

    def begin(self) -> None:
        for name in os.listdir(self._directory):
            if name.endswith(_PART):
                os.unlink(name, dir_fd=self._directory)
            else:
                self._whole[name] = os.stat(name, dir_fd=self._directory, follow_symlinks=False).st_size
        self._bytes = sum(self._whole.values())
        self._listening.setblocking(False)
        self._listen()

    def take(self, name: str, place: str) -> int:
        """Move a value to a path of the same file system; return its size. Raises FileNotFoundError for none."""
        with self._lock:
            if name not in self._whole:
                raise FileNotFoundError(errno.ENOENT, "no such value was sent", name)
            size = self._whole.pop(name)
            self._bytes -= size
            os.rename(name, place, src_dir_fd=self._directory)
        return size

    def close(self) -> None:
        """Stop receiving, wait for that, and let go of the directory, whose files stay."""
        self._receiver.order(self._end)
        self._closed.wait()

    def _end(self) -> None:
        for incoming in list(self._incoming):
            incoming.drop()
        self._hush()
        self._listening.close()
        os.close(self._directory)
        self._closed.set()

    def _listen(self) -> None:
        if not self._listens and len(self._incoming) < AT_ONCE:
            self._listens = True
            self._receiver.register(self._listening, self._accept)

    def _hush(self) -> None:
        if self._listens:
            self._listens = False
            self._receiver.unregister(self._listening)

    def _accept(self) -> None:
        if not self._listens:
            return  # no longer, since this turn
        try:
            connection, _ = self._listening.accept()
        except OSError as error:
            # No descriptor is left: those that wait are asked when one of these has ended.
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                log.warning("container %s: a value can't be received: %s", self._container_id, error)
                if self._incoming:
                    self._hush()
            return
        connection.setblocking(False)
        self._incoming.add(_Incoming(self, self._receiver, connection))
        if len(self._incoming) >= AT_ONCE:
            self._hush()

    def forget(self, incoming: "_Incoming", dropped: int) -> None:
        self._incoming.discard(incoming)
        with self._lock:
            self._bytes -= dropped
        self._listen()

    def create(self) -> tuple[str, int]:
        """Make a new value's file; return its name, and the file, open. Raise `TooMuch`."""
        with self._lock:
            too_many = len(self._whole) + len(self._incoming) > self._receiver.max_waiting
        if too_many:
            raise self._too_much(f"{self._receiver.max_waiting} values of this container wait already")
        name = os.urandom(12).hex()
        file = os.open(name + _PART, _FLAGS, _MODE, dir_fd=self._directory)
        # Users of other containers read it, whatever the service's umask is.
        os.fchmod(file, _MODE)
        return name, file

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name + _PART, dir_fd=self._directory)

    def count(self, size: int) -> None:
        """Count bytes that came; raise `TooMuch`."""
        with self._lock:
            self._bytes += size
            too_many = self._bytes > self._receiver.max_waiting_bytes
        if too_many:
            most = self._receiver.max_waiting_bytes
            raise self._too_much(f"values of this container that nobody has taken have over {most} bytes")

    def look(self, file: int) -> None:
        """See that the disk has room left; raise `NoRoom`."""
        found = os.fstatvfs(file)
        if found.f_bavail < min(self._receiver.leaves_free_bytes // found.f_frsize, found.f_blocks // LEAVES_FREE_PART):
            raise NoRoom("the disk of the service is full")

    def finish(self, name: str, size: int) -> None:
        """Make a value whole."""
        os.rename(name + _PART, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        with self._lock:
            self._whole[name] = size

    def undo(self, name: str) -> None:
        """Remove a whole value again."""
        with self._lock:
            if self._whole.pop(name, None) is not None:
                os.unlink(name, dir_fd=self._directory)

    def _too_much(self, why: str) -> TooMuch:
        if not self._told:
            self._told = True
            log.warning("container %s sends more than is kept for it: %s", self._container_id, why)
        return TooMuch(why)


class _Incoming:
    """One connection, which brings one value. Its file is made when the first byte comes."""

    def __init__(self, desk: ValueDesk, receiver: ValueReceiver, connection: socket.socket) -> None:
        self._desk = desk
        self._receiver = receiver
        self._connection = connection
        self._name = ""
        self._file = -1
        self._size = 0
        self._looked_at = -_LOOK_EVERY_BYTES
        self._is_open = True
        receiver.register(connection, self.hear)

    def hear(self) -> None:
        if not self._is_open:
            return  # closed in the same turn
        try:
            data = self._receiver.read(self._connection)
        except BlockingIOError:
            return
        except OSError:
            self.drop()
            return
        try:
            if self._file < 0:
                self._name, self._file = self._desk.create()
            if data:
                self._write(data)
                return
        except TooMuch as error:
            self._refuse(f"!{error}")
            return
        except NoRoom as error:
            self._refuse(f"?{error}")
            return
        except OSError as error:
            self._refuse(f"?it could not be written: {error.strerror}")
            return
        self._finish()

    def _write(self, data: memoryview) -> None:
        self._size += len(data)
        self._desk.count(len(data))
        if self._size - self._looked_at >= _LOOK_EVERY_BYTES:
            self._looked_at = self._size
            self._desk.look(self._file)
        while data:
            data = data[os.write(self._file, data) :]

    def _finish(self) -> None:
        name, size = self._name, self._size
        self._desk.finish(name, size)
        self._name = ""
        try:
            self._connection.send(name.encode() + b"\n")
        except OSError:
            # It did not want it any more.
            self._desk.undo(name)
            self._close(size)
            return
        self._close(0)

    def _refuse(self, answer: str) -> None:
        with contextlib.suppress(OSError):
            self._connection.send(f"{answer}\n".encode())
        self.drop()

    def drop(self) -> None:
        """End it, and leave nothing of it."""
        if self._name:
            self._desk.remove(self._name)
        self._close(self._size)

    def _close(self, dropped: int) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._is_open = False
        self._receiver.unregister(self._connection)
        self._connection.close()
        self._desk.forget(self, dropped)
