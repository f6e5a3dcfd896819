"""What waits to go out on one session stream."""

import collections
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator

from wherry.exception import ConnectionError
from wherry_proto.messages import Input, SessionUp

# One message carries about this many payload bytes at most.
MESSAGE_BYTES = 4 << 20
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 2.0

Item = SessionUp | Input


class Outbox:
    """Gathers what waits into one message whenever a write becomes possible; it never delays what is there.

    Either a transport takes messages by iterating, or it attaches: then whoever puts something sends it, with all that
    others put meanwhile; but the inputs of maps are sent by a thread of their own, so that they gather.
    Acknowledgements alone are in no hurry: they go with the next message, or when nothing was sent for a moment.
    `expects_more` tells whether answers, and so acknowledgements, are still to come.
    """

    def __init__(self, expects_more: Callable[[], bool]) -> None:
        self._items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._taken: collections.deque[str] = collections.deque()
        self._expects_more = expects_more
        self._send: Callable[[SessionUp | None], None] | None = None
        self._break_off: Callable[[], None] = lambda: None
        self._sending = threading.Lock()
        # Wakes the thread that sends what has gathered: True to send, False to end. Not yet started: None.
        self._gathered: queue.SimpleQueue[bool] | None = None
        self._woken = False

    def put(self, item: Item) -> None:
        """Add something to send. Whoever puts may send it: what a signal's handler raises meanwhile comes out of here.

        The stream then ends, as nobody knows what has left: the session opens another one with a new outbox.
        """
        try:
            self._items.put(item)
            if self._send is None:
                return
            if type(item) is Input:
                self._wake_sender()
            else:
                self._drain(self._send)
        except BaseException:
            self._break_off()
            raise

    def take_note(self, input_ids: list[str]) -> None:
        """Acknowledge outputs."""
        self._taken.extend(input_ids)

    def close(self) -> None:
        """End the stream after what is waiting."""
        self._items.put(None)
        if self._send is not None:
            self._drain(self._send)
        if self._gathered is not None:
            self._gathered.put(False)

    # Pushing

    def _wake_sender(self) -> None:
        if self._woken:
            return
        self._woken = True
        if self._gathered is None:
            self._gathered = queue.SimpleQueue()
            threading.Thread(
                target=self._send_gathered, args=(self._gathered,), name="wherry-sender", daemon=True
            ).start()
        self._gathered.put(True)

    def _send_gathered(self, gathered: "queue.SimpleQueue[bool]") -> None:
        while gathered.get():
            self._woken = False
            if self._send is not None:
                self._drain(self._send)

    def attach(self, send: Callable[[SessionUp | None], None], break_off: Callable[[], None]) -> None:
        """Send by these from now on: what waits, and what comes."""
        self._break_off = break_off
        self._send = send
        self._drain(send)

    @property
    def has_acknowledgements(self) -> bool:
        """Whether acknowledgements wait for a message to go along with."""
        return bool(self._taken)

    def flush(self) -> None:
        """Send waiting acknowledgements, unless somebody is sending anyway."""
        send = self._send
        if send is not None and self._taken and self._sending.acquire(blocking=False):
            try:
                self._push(send, SessionUp(taken=self._swap_taken()))
            finally:
                self._sending.release()
            # Who put something meanwhile found us sending, and left it to us.
            self._drain(send)

    def _drain(self, send: Callable[[SessionUp | None], None]) -> None:
        # Who finds another sending leaves: the other looks again after he has let go.
        while not self._items.empty() and self._sending.acquire(blocking=False):
            try:
                self._send_waiting(send)
            finally:
                self._sending.release()

    def _send_waiting(self, send: Callable[[SessionUp | None], None]) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._items.get_nowait()
                message, ended = self._gather(item) if item is not None else (SessionUp(taken=self._swap_taken()), True)
                if item is not None or message.taken:
                    self._push(send, message)
                if ended:
                    self._push(send, None)
                    self._send = None
                    return

    @staticmethod
    def _push(send: Callable[[SessionUp | None], None], message: SessionUp | None) -> None:
        # The reader notices too that the connection broke; all that matters is offered again on the next one.
        with contextlib.suppress(ConnectionError):
            send(message)

    # Iterating

    def __iter__(self) -> Iterator[SessionUp]:
        wait: float = _FIRST_WAIT_S
        while True:
            try:
                item = self._items.get(timeout=wait if self._taken or self._expects_more() else None)
            except queue.Empty:
                wait = min(wait * 2, _LONGEST_WAIT_S)
                if self._taken:
                    yield SessionUp(taken=self._swap_taken())
                continue
            wait = _FIRST_WAIT_S
            if item is None:
                break
            message, ended = self._gather(item)
            yield message
            if ended:
                break
        if self._taken:
            yield SessionUp(taken=self._swap_taken())

    def _gather(self, item: Item) -> tuple[SessionUp, bool]:
        ended = False
        if type(item) is SessionUp and self._items.empty():
            # The lone call: nothing to merge.
            message = item
        else:
            message = SessionUp()
            room = MESSAGE_BYTES - _merge(message, item)
            while room > 0:
                try:
                    more = self._items.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    ended = True
                    break
                room -= _merge(message, more)
        if self._taken:
            message.taken += self._swap_taken()
        return message, ended

    def _swap_taken(self) -> list[str]:
        taken, count = [], len(self._taken)
        for _ in range(count):
            taken.append(self._taken.popleft())
        return taken


def _merge(message: SessionUp, item: Item) -> int:
    """Add an item to a message; return about how many bytes it takes."""
    if type(item) is Input:
        message.inputs.append(item)
        return _size(item)
    assert isinstance(item, SessionUp)
    if item.hello is not None:
        message.hello = item.hello
    message.calls += item.calls
    message.inputs += item.inputs
    message.ends += item.ends
    message.taken += item.taken
    message.cancels += item.cancels
    message.watches += item.watches
    message.yields_taken += item.yields_taken
    return 128 + sum(map(_size, item.inputs))


def _size(item: Input) -> int:
    return 64 + (len(item.payload.data) if item.payload is not None else 0)
