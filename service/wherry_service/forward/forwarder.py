"""Takes lines, and sends them on in a thread: what can't be sent is dropped, counted and told, and nobody waits."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from wherry_service.forward.line import SERVICE, STDERR, STDOUT, SYSTEM, Line
from wherry_service.forward.refused import Refused
from wherry_service.forward.settings import FILE, OTLP, SYSLOG, ForwardSettings
from wherry_service.logs.batch import LogBatch

if TYPE_CHECKING:
    from wherry_service.forward.senders import Sender

log = logging.getLogger(__name__)

# What waits for one way, at most: lines beyond are dropped.
MAX_BYTES = 16 << 20
MAX_LINES = 50_000
# Sent at once.
BATCH_LINES = 1000
# Seconds for which lines gather, between tries that fail, and between two lines about that.
GATHER_S, AGAIN_S, MOST_AGAIN_S, TELL_EVERY_S = 0.2, 1.0, 30.0, 60.0
# Seconds that the rest gets at the end.
CLOSE_WITHIN_S = 3.0
# Of a line, its text apart.
_LINE_BYTES = 200
_STREAMS = {1: STDOUT, 2: STDERR, 3: SYSTEM}


class Names(NamedTuple):
    """What a function is called."""

    environment: str = ""
    app: str = ""
    function: str = ""


class Way:
    """One target: what waits for it, and the thread that sends."""

    def __init__(self, name: str, sender: "Sender") -> None:
        self.name = name
        self._sender = sender
        self._waiting: deque[Line] = deque()
        self._bytes = 0
        self._lock = threading.Condition()
        self._closed = False
        # Since the service began.
        self.num_sent = self.num_dropped = 0
        self._told_at = float("-inf")
        self._told_dropped = 0
        self._thread = threading.Thread(target=self._run, name=f"forward-{name}", daemon=True)

    def begin(self) -> None:
        """Start to send."""
        self._thread.start()

    def put(self, lines: Sequence[Line]) -> None:
        """Take lines, or drop those for which there is no room. Never waits."""
        with self._lock:
            for position, line in enumerate(lines):
                size = len(line.text) + _LINE_BYTES
                if self._closed or len(self._waiting) >= MAX_LINES or self._bytes + size > MAX_BYTES:
                    self.num_dropped += len(lines) - position
                    break
                self._waiting.append(line)
                self._bytes += size
            self._lock.notify()

    def close(self) -> None:
        """Send what waits, for a few seconds at most. Blocks."""
        with self._lock:
            self._closed = True
            self._lock.notify()
        self._thread.join(CLOSE_WITHIN_S)
        if self._thread.is_alive():
            with self._lock:
                self.num_dropped += len(self._waiting)
                self._waiting.clear()
        self._tell("the service ended", at_once=True)

    def _run(self) -> None:
        while (lines := self._next()) is not None:
            try:
                self._send(lines)
            except Refused as error:
                if error.too_large and len(lines) > 1:
                    half = len(lines) // 2
                    self._send_or_drop(lines[:half])
                    self._send_or_drop(lines[half:])
                else:
                    self._drop(lines, str(error))
            except Exception as error:  # noqa: BLE001 - a line that nobody thought of ends no thread
                self._drop_broken(lines, error)
        try:
            self._sender.close()
        except OSError as error:
            self._tell(str(error))

    def _send_or_drop(self, lines: list[Line]) -> None:
        try:
            self._send(lines)
        except Refused as error:
            self._drop(lines, str(error))
        except Exception as error:  # noqa: BLE001 - as in `_run`
            self._drop_broken(lines, error)

    def _send(self, lines: list[Line]) -> None:
        """Send lines, again and again where they may be taken later; raise Refused where they never are."""
        pause_s = AGAIN_S
        while True:
            try:
                self._sender.send(lines)
            except OSError as error:
                self._tell(str(error))
                if self._wait(pause_s):
                    with self._lock:
                        self.num_dropped += len(lines)
                    return
                pause_s = min(MOST_AGAIN_S, 2 * pause_s)
            else:
                self.num_sent += len(lines)
                return

    def _drop_broken(self, lines: list[Line], error: Exception) -> None:
        log.debug("lines of logs could not be sent by %s", self.name, exc_info=error)
        self._drop(lines, f"{type(error).__name__}: {error}")

    def _drop(self, lines: list[Line], why: str) -> None:
        with self._lock:
            self.num_dropped += len(lines)
        self._tell(why)

    def _next(self) -> list[Line] | None:
        """Wait for lines, and return some; None if it is closed and there are no more."""
        with self._lock:
            self._lock.wait_for(lambda: self._waiting or self._closed)
            if not self._closed and len(self._waiting) < BATCH_LINES:
                # More that comes soon goes with them.
                self._lock.wait_for(lambda: self._closed or len(self._waiting) >= BATCH_LINES, GATHER_S)
            taken = [self._waiting.popleft() for _ in range(min(BATCH_LINES, len(self._waiting)))]
            self._bytes -= sum(len(line.text) + _LINE_BYTES for line in taken)
            return taken or None

    def _wait(self, seconds: float) -> bool:
        """Wait before the next try; return True if there is to be none."""
        with self._lock:
            return self._lock.wait_for(lambda: self._closed, seconds)

    def _tell(self, why: str, at_once: bool = False) -> None:
        now = time.monotonic()
        dropped = self.num_dropped - self._told_dropped
        if (at_once and not dropped) or (not at_once and now - self._told_at < TELL_EVERY_S):
            return
        self._told_at, self._told_dropped = now, self.num_dropped
        lost = f", and {dropped} were dropped" if dropped else ""
        log.warning("lines of logs could not be sent by %s: %s%s", self.name, why, lost)


class Forwarder:
    """All ways that are on. `names` tells what a function is called."""

    def __init__(self, settings: ForwardSettings, names: Callable[[str], Names]) -> None:
        self._names = names
        self.ways = [Way(target, _sender(target, settings)) for target in settings.targets]
        self._handler = _Handler(self._put)

    def begin(self) -> None:
        """Start to send, also the service's own log."""
        for way in self.ways:
            way.begin()
        if self.ways:
            logging.getLogger().addHandler(self._handler)

    def close(self) -> None:
        """Send what waits, for a few seconds at most. Blocks."""
        logging.getLogger().removeHandler(self._handler)
        for way in self.ways:
            way.close()

    def on_batch(self, batch: LogBatch) -> None:
        """Take lines of a container, as they are kept: without what is secret."""
        if not self.ways:
            return
        names = self._names(batch.function_id)
        self._put([_line(batch, row, names) for row in batch.rows])

    def _put(self, lines: Sequence[Line]) -> None:
        for way in self.ways:
            way.put(lines)


def _line(batch: LogBatch, row: tuple[int, str, int, str, bool], names: Names) -> Line:
    stream, input_id, at_ms, text, _ = row
    return Line(
        at_ms,
        text,
        _STREAMS.get(stream, STDOUT),
        "info",
        "",
        names.environment,
        names.app,
        batch.app_id,
        names.function,
        batch.container_id,
        batch.calls.get(input_id, "") if input_id else "",
        input_id,
    )


def _sender(target: str, settings: ForwardSettings) -> "Sender":
    from wherry_service.forward.senders import FileSender, OtlpSender, SyslogSender  # noqa: PLC0415 - start-up cost: only where lines are sent on

    if target == OTLP:
        return OtlpSender(settings.otlp_url, settings.otlp_headers)
    if target == SYSLOG:
        return SyslogSender(settings.syslog)
    assert target == FILE
    assert settings.file is not None
    return FileSender(settings.file)


class _Handler(logging.Handler):
    """The service's own log. Its own words about what could not be sent stay here: they would never end."""

    def __init__(self, put: Callable[[Sequence[Line]], None]) -> None:
        super().__init__()
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("wherry_service.forward"):
            return
        text = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
        level = {"CRITICAL": "error"}.get(record.levelname, record.levelname.lower())
        self._put([Line(int(record.created * 1000), text, SERVICE, level, record.name)])
