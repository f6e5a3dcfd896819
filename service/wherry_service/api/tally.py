"""Counts the bytes of gRPC messages that have begun on one HTTP/2 connection and are not whole yet."""

_PREFACE = 24
_FRAME_HEAD = 9
_MESSAGE_HEAD = 5
_DATA, _HEADERS, _RST_STREAM = 0, 1, 3
_END_STREAM, _PADDED = 0x1, 0x8
# What is counted for a message beyond its bytes: its place in our books and in gRPC's.
_EACH = 1024
# Of streams that are over, so many are known.
_OVER = 2000


class Frames:
    """Splits one direction of a connection into frames, whatever pieces it comes in. `skip`: bytes before the first."""

    def __init__(self, skip: int = 0) -> None:
        self._left = skip
        self._head = bytearray()
        self._kind = self._flags = self._stream = -1
        # Of a padded frame: bytes of padding at its end; None: not known yet.
        self._pad: int | None = 0

    def feed(self, data: bytes) -> None:
        """Take what came."""
        view, at = memoryview(data), 0
        while at < len(view):
            if not self._left:
                at = self._begin(view, at)
                continue
            part = view[at : at + self._left]
            at += len(part)
            self._left -= len(part)
            if self._kind == _DATA:
                self._payload(part)
            if not self._left:
                self._end()

    def on_data(self, stream: int, part: memoryview) -> None:
        """Hear a piece of a stream's messages."""

    def on_end(self, kind: int, flags: int, stream: int) -> None:
        """Hear that a frame is whole."""

    def _begin(self, view: memoryview, at: int) -> int:
        part = view[at : at + _FRAME_HEAD - len(self._head)]
        self._head += part
        if len(self._head) == _FRAME_HEAD:
            head, self._head = self._head, bytearray()
            self._left, self._kind, self._flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            self._stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
            self._pad = None if self._kind == _DATA and self._flags & _PADDED else 0
            if not self._left:
                self._end()
        return at + len(part)

    def _payload(self, part: memoryview) -> None:
        if self._pad is None and len(part):
            self._pad, part = part[0], part[1:]
        # What is left after this piece is padding at its end, and so may be the end of this piece.
        beyond = (self._pad or 0) - self._left
        if beyond > 0:
            part = part[: max(0, len(part) - beyond)]
        if len(part):
            self.on_data(self._stream, part)

    def _end(self) -> None:
        if self._kind >= 0:
            self.on_end(self._kind, self._flags, self._stream)


class Tally:
    """Of one connection: `sent` takes what its client sends, `answered` what it is answered; `held` is the count."""

    def __init__(self) -> None:
        self.held = 0
        # By stream: the head of a message that is not whole, the bytes it lacks, those it has.
        self._open: dict[int, _Message] = {}
        # Streams that the service has ended, the latest: what is still under way to them counts for nothing.
        self._over: dict[int, None] = {}
        self.sent = _Sent(self)
        self.answered = _Answered(self)

    def take(self, stream: int, part: memoryview) -> None:
        """Count bytes of a stream's messages."""
        if stream in self._over:
            return
        message = self._open.pop(stream, None)
        while len(part):
            if message is None:
                message = _Message()
                self.held += _EACH
            used = message.take(part)
            part = part[used:]
            self.held += used
            if message.is_whole:
                self.held -= _EACH + message.size
                message = None
        if message is not None:
            self._open[stream] = message

    def forget(self, stream: int) -> None:
        """The client has ended a stream: what had begun on it is dropped."""
        if (message := self._open.pop(stream, None)) is not None:
            self.held -= _EACH + message.size

    def end(self, stream: int) -> None:
        """The service has ended a stream."""
        self.forget(stream)
        self._over[stream] = None
        if len(self._over) > _OVER:
            del self._over[next(iter(self._over))]


class _Message:
    """A message of a request as far as it has come: 5 bytes of head, and so many as that says."""

    __slots__ = ("head", "lacks", "size")

    def __init__(self) -> None:
        self.head = b""
        self.lacks = 0
        self.size = 0

    @property
    def is_whole(self) -> bool:
        return len(self.head) == _MESSAGE_HEAD and not self.lacks

    def take(self, part: memoryview) -> int:
        """Take what of these bytes is its own; return how many."""
        if len(self.head) < _MESSAGE_HEAD:
            used = min(len(part), _MESSAGE_HEAD - len(self.head))
            self.head += bytes(part[:used])
            if len(self.head) == _MESSAGE_HEAD:
                self.lacks = int.from_bytes(self.head[1:], "big")
        else:
            used = min(len(part), self.lacks)
            self.lacks -= used
        self.size += used
        return used


class _Sent(Frames):
    """What the client sends: counted, by request."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(skip=_PREFACE)
        self._tally = tally

    def on_data(self, stream: int, part: memoryview) -> None:
        self._tally.take(stream, part)

    def on_end(self, kind: int, flags: int, stream: int) -> None:
        if kind == _RST_STREAM or (kind == _DATA and flags & _END_STREAM):
            self._tally.forget(stream)


class _Answered(Frames):
    """What it is answered: a request that has been answered counts no more."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def on_end(self, kind: int, flags: int, stream: int) -> None:
        # Whatever was still to come.
        if kind == _RST_STREAM or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            self._tally.end(stream)
