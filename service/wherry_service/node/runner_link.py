"""One runner's socket: frames in, checked and turned into events; frames out. The runner is treated as hostile."""

import asyncio
import logging
import re
import select
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from wherry_proto.messages import Failure, FailureKind, Format, Payload
from wherry_service.ids import time_of
from wherry_service.logs.batch import LogRow
from wherry_service.node import frames, runner_frames
from wherry_service.node import runner_protocol as protocol
from wherry_service.node.events import ContainerEvents, OutputRow, YieldRow
from wherry_service.node.frames import Header, ProtocolError
from wherry_service.node.runner_protocol import MAX_COUNT, MAX_ID, MAX_INLINE, MAX_LINE, MAX_TIME_MS
from wherry_service.node.runs import Runs

log = logging.getLogger(__name__)

_BLOB_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_FAILURE_KINDS = dict(
    zip(
        protocol.FAILURE_KINDS,
        (FailureKind.EXCEPTION, FailureKind.TIMEOUT, FailureKind.CANCELLED, FailureKind.SERIALIZATION),
        strict=True,
    )
)
_ROW_SIZES = {kind: len(frame.row) for kind, frame in protocol.FROM_RUNNER.items()}
_LOG, _OUTPUT, _YIELD = _ROW_SIZES["log"], _ROW_SIZES["outputs"], _ROW_SIZES["yields"]
_MANY_LINES = 64
# A line of a container is at most so far in our future.
MAX_AHEAD_MS = 60_000


class LinkEvents(ContainerEvents["RunnerLink"]):
    """Who hears what a link reads: the container's side of the conversation. A hello is `on_connected`."""

    def on_connection(self, link: "RunnerLink") -> None:
        """Hear that somebody has connected, and said nothing yet."""

    def on_web(self, link: "RunnerLink", input_id: str, header: Header, part: bytes) -> None:
        """Hear what an input that is a web request says; raise ValueError for what it may not say."""

    def on_link_lost(self, link: "RunnerLink") -> None:
        """Hear that the connection has ended."""

    def on_protocol_error(self, link: "RunnerLink", error: ProtocolError) -> None:
        """Hear that the runner broke the protocol; the connection is closed."""


class RunnerLink(asyncio.Protocol):
    """The agent's end of one connection.

    `held` is the set of inputs the container has: shared with, and added to by, its owner; an id that is
    not in it breaks the protocol. `runs` likewise: which runs of generators it was given. `take_blob` takes a
    value that came beside the link, by its name and size, and returns the blob's id.
    """

    def __init__(
        self,
        container_id: str,
        held: set[str],
        events: LinkEvents,
        runs: Runs,
        take_blob: Callable[[str, int], str],
    ) -> None:
        self._container_id = container_id
        self._began_ms = time_of(container_id)
        self._held = held
        self._events = events
        self._runs = runs
        self._take_blob = take_blob
        self._decoder = frames.Decoder(greeted=False)
        self._transport: asyncio.Transport | None = None
        self._greeted = False
        # What has arrived and was not read yet, and the frames of its first part.
        self._arrived: deque[bytes] = deque()
        self._frames: Iterator[tuple[Header, list[bytes]]] | None = None
        # Whether what has arrived waits for another turn, or for the end of a pause.
        self._reads_on = False
        self._turn: asyncio.Handle | None = None
        self._paused = False
        self._readers: dict[str, Callable[[Header, list[bytes]], None]] = {
            "ready": self._read_ready,
            "load_failed": self._read_load_failed,
            "log": self._read_log,
            "outputs": self._read_outputs,
            "yields": self._read_yields,
            "failure": self._read_failure,
            "returned": self._read_returned,
            "web": self._read_web,
            "pong": lambda header, parts: None,
            "bye": lambda header, parts: self._events.on_leaving(self),
        }

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._events.on_connection(self)

    def data_received(self, data: bytes) -> None:
        self._arrived.append(data)
        if not self._reads_on:
            self._read_arrived(breathe=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._read_arrived(breathe=False)
        self._events.on_link_lost(self)

    # Sending

    def send(self, header: Header, parts: Sequence[bytes] = ()) -> None:
        """Write one frame; on a closed link nothing happens, its loss is told by `on_link_lost`."""
        if self._transport is not None:
            self._transport.write(frames.encode(header, parts))

    def pause(self) -> None:
        self._paused = True
        self._set_reading()

    def resume(self) -> None:
        self._paused = False
        if self._reads_on:
            self._take_turn()
        self._set_reading()

    def _set_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            if self._paused or self._reads_on:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def is_alive(self) -> bool:
        """Whether the other side still holds the connection, also where it is read no further."""
        if self._transport is None or self._transport.is_closing():
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return not poll.poll(0)

    # Reading

    def _read_arrived(self, breathe: bool) -> None:
        """Read what has arrived. With `breathe`, stop where paused, and after each frame that is full of lines."""
        try:
            while self._frames is not None or self._arrived:
                if self._frames is None:
                    self._frames = self._decoder.feed(self._arrived.popleft())
                for header, parts in self._frames:
                    self._read(header, parts)
                    if breathe and (self._paused or (len(parts) > _MANY_LINES and header["t"] == "log")):
                        if not self._paused:
                            self._take_turn()
                        if not self._reads_on:
                            self._reads_on = True
                            self._set_reading()
                        return
                self._frames = None
        except ProtocolError as error:
            self._refuse(error)
        except Exception as error:
            # Frames that fit one by one and make no sense together: nothing of it may reach the transport.
            log.exception("what container %s sent could not be taken", self._container_id)
            self._refuse(ProtocolError(f"what it sent could not be taken: {type(error).__name__}: {error}"))

    def _refuse(self, error: ProtocolError) -> None:
        self._arrived.clear()
        self._frames = None
        self.close()
        self._events.on_protocol_error(self, error)

    def _take_turn(self) -> None:
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        self._turn = None
        if self._paused:
            return
        self._read_arrived(breathe=True)
        if self._reads_on and self._frames is None:
            self._reads_on = False
            self._set_reading()

    def _read(self, header: Header, parts: list[bytes]) -> None:
        kind = header["t"]
        if not self._greeted:
            if kind != "hello":
                raise ProtocolError(f"{kind[:32]!r} before hello")
            self._read_hello(header)
            return
        reader = self._readers.get(kind)
        if reader is None:
            raise ProtocolError(f"unknown frame {kind[:32]!r}")
        reader(header, parts)

    def _read_hello(self, header: Header) -> None:
        if header.get("protocol") != protocol.PROTOCOL:
            raise ProtocolError(f"speaks version {header.get('protocol')!r:.32}, this agent speaks {protocol.PROTOCOL}")
        running = _strings(header, "running")
        self._greeted = True
        self._decoder.widen()
        self.send(runner_frames.welcome(self._container_id))
        self._events.on_connected(self, running, header.get("loaded") is True)

    def _read_ready(self, header: Header, parts: list[bytes]) -> None:
        seconds = header.get("seconds")
        if not isinstance(seconds, int | float) or not 0 <= seconds <= protocol.MAX_SECONDS:
            raise ProtocolError("ready without seconds")
        self._events.on_ready(self, float(seconds))

    def _read_load_failed(self, header: Header, parts: list[bytes]) -> None:
        failure = self._failure(header, parts)
        failure.kind = FailureKind.STARTUP
        self._events.on_load_failed(self, failure)

    def _read_log(self, header: Header, parts: list[bytes]) -> None:
        rows = _rows(header, parts)
        lines: list[LogRow] = []
        latest_ms = int(time.time() * 1000) + MAX_AHEAD_MS
        for row, part in zip(rows, parts, strict=True):
            stream, input_id, at_ms, goes_on = _fields_and_one(row, _LOG)
            if (
                type(stream) is not int
                or stream not in (1, 2)
                or type(at_ms) is not int
                or not 0 <= at_ms < MAX_TIME_MS
                or not (input_id is None or isinstance(input_id, str))
                or b"\n" in part
                or len(part) > MAX_LINE
            ):
                raise ProtocolError("malformed log row")
            # A line may be printed by a thread that outlives its input: then it belongs to the container.
            owner = input_id if input_id in self._held else ""
            # Its clock is its own; what is kept and sent on lies in its life.
            at_ms = min(max(at_ms, self._began_ms), latest_ms)
            lines.append((stream, owner or "", at_ms, part.decode(errors="replace"), goes_on is not None))
        self._events.on_log(self, lines)

    def _read_outputs(self, header: Header, parts: list[bytes]) -> None:
        rows = _rows(header, parts)
        outputs: list[OutputRow] = []
        held = self._held
        for row, part in zip(rows, parts, strict=True):
            input_id, format_, name, size, num_yields, run = _fields_and_one(row, _OUTPUT)
            if type(num_yields) is not int or not 0 <= num_yields <= MAX_COUNT:
                raise ProtocolError("malformed output row")
            try:
                held.remove(input_id)
            except (KeyError, TypeError):
                raise ProtocolError("output of an input it does not hold") from None
            self._runs.answer(input_id, run, num_yields)
            outputs.append(OutputRow(input_id, self._payload(format_, name, size, part), num_yields))
        self._events.on_outputs(self, outputs)

    def _read_yields(self, header: Header, parts: list[bytes]) -> None:
        rows = _rows(header, parts)
        yields: list[YieldRow] = []
        for row, part in zip(rows, parts, strict=True):
            input_id, index, format_, name, size, run = _fields_and_one(row, _YIELD)
            if type(index) is not int or not 0 <= index < MAX_COUNT:
                raise ProtocolError("malformed yield row")
            self._held_id(input_id)
            self._runs.value(input_id, run, index)
            yields.append(YieldRow(input_id, index, self._payload(format_, name, size, part)))
        self._events.on_yields(self, yields)

    def _read_failure(self, header: Header, parts: list[bytes]) -> None:
        input_id = self._held_id(header.get("input"))
        num_yields = header.get("num_yields", 0)
        if type(num_yields) is not int or not 0 <= num_yields <= MAX_COUNT:
            raise ProtocolError("malformed failure")
        failure = self._failure(header, parts)
        self._runs.answer(input_id, header.get("run"), num_yields)
        self._held.discard(input_id)
        self._events.on_failure(self, input_id, failure, num_yields)

    def _read_returned(self, header: Header, parts: list[bytes]) -> None:
        input_ids = _strings(header, "inputs")
        for input_id in input_ids:
            self._held_id(input_id)
            self._held.discard(input_id)
        self._runs.returned(input_ids)
        self._events.on_returned(self, input_ids)

    def _read_web(self, header: Header, parts: list[bytes]) -> None:
        input_id = self._held_id(header.get("input"))
        kind = header.get("k")
        if not isinstance(kind, str) or len(parts) > 1 or len(header) > protocol.MAX_WEB_FIELDS:
            raise ProtocolError("malformed web frame")
        if kind not in protocol.WEB_HEADS and any(isinstance(value, list | dict | str) for value in _others(header)):
            raise ProtocolError(f"malformed web frame {kind[:32]!r}")
        try:
            self._events.on_web(self, input_id, header, b"".join(parts))
        except ValueError as error:
            raise ProtocolError(str(error)) from None

    def _held_id(self, input_id: Any) -> str:
        if not isinstance(input_id, str) or input_id not in self._held:
            raise ProtocolError("names an input it does not hold")
        return input_id

    def _payload(self, format_: Any, name: Any, size: Any, part: bytes) -> Payload:
        if type(format_) is not int:
            raise ProtocolError("unknown payload format")
        # Nearly all are these.
        if format_ == Format.PICKLE and name is None and len(part) <= MAX_INLINE:
            return Payload(format=Format.PICKLE, data=part, size=len(part))
        if format_ in (Format.WEB, Format.JSON) and name is None and len(part) <= MAX_INLINE:
            return Payload(format=format_, data=part, size=len(part))
        if format_ not in (Format.PICKLE, Format.JSON):
            raise ProtocolError(f"unknown payload format, of {len(part)} bytes")
        if name is None:
            raise ProtocolError(f"inline payload of {len(part)} bytes, at most {MAX_INLINE} are allowed")
        if not isinstance(name, str) or not _BLOB_NAME.match(name) or type(size) is not int:
            raise ProtocolError("malformed blob name or size")
        if not 0 <= size <= protocol.MAX_SIZE:
            raise ProtocolError("malformed blob name or size")
        return Payload(format=format_, blob_id=self._take_blob(name, size), size=size)

    def _failure(self, header: Header, parts: list[bytes]) -> Failure:
        kind = _FAILURE_KINDS.get(_text(header, "kind", 32) or "exception")
        data = b"".join(parts)
        if kind is None or len(parts) > 1 or len(data) > MAX_INLINE:
            raise ProtocolError("malformed failure")
        return Failure(
            kind=kind,
            type_name=_text(header, "type", protocol.MAX_TYPE),
            message=_text(header, "message", protocol.MAX_MESSAGE),
            traceback=_text(header, "traceback", protocol.MAX_TRACEBACK),
            exception=Payload(format=Format.PICKLE, data=data, size=len(data)) if data else None,
            container_id=self._container_id,
        )


def _rows(header: Header, parts: list[bytes]) -> list[Any]:
    rows = header.get("rows")
    if not isinstance(rows, list) or not rows or len(rows) != len(parts):
        raise ProtocolError("rows and parts do not match")
    return rows


def _fields_and_one(row: Any, count: int) -> list[Any]:
    """Return a row's fields, and last the one that may follow them: which run it is of, say; None: there is none."""
    if isinstance(row, list):
        if len(row) == count + 1:
            return row
        if len(row) == count:
            return [*row, None]
    raise ProtocolError(f"a row does not have {count} fields")


def _strings(header: Header, key: str) -> list[str]:
    value = header.get(key)
    if (
        not isinstance(value, list)
        or len(value) > protocol.MAX_PARTS * 16
        or not all(isinstance(v, str) for v in value)
    ):
        raise ProtocolError(f"{key} is not a list of strings")
    if any(len(v) > MAX_ID for v in value):
        raise ProtocolError(f"{key} has what is no id")
    return value


def _others(header: Header) -> Iterator[Any]:
    """Return the values of a web frame but those that each has."""
    return (value for key, value in header.items() if key not in ("t", "input", "k", "parts"))


def _text(header: Header, key: str, limit: int) -> str:
    value = header.get(key, "")
    if not isinstance(value, str):
        raise ProtocolError(f"{key} is not text")
    return value[:limit]
