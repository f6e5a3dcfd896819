"""Web requests in the log of their app: a line each, as many as a person reads."""

import asyncio
import time
from collections.abc import Callable

from wherry_service.calls.client import Clients
from wherry_service.calls.diary import Log
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.exchange import Exchange
from wherry_service.logs.batch import LogRow
from wherry_service.logs.masks import Masker, Masks

_SYSTEM = 3
# Lines of one function in one second; of more requests only their number is kept. Whoever sends requests decides how
# many there are, and what the app prints must not be pushed out of the log by them.
MAX_A_SECOND = 50
# Lines of one app in one minute, of all its functions: the log of all apps is one, and has a bound.
MAX_A_MINUTE = 1000
_MINUTE_S = 60.0
# Characters of a method, and of a path, that are shown.
MOST_OF_A_METHOD = 16
MOST_OF_A_PATH = 200
# So long lines gather before they are written.
GATHER_S = 0.1


class _Second:
    """A function's requests within a second."""

    __slots__ = ("app_id", "began", "calls", "left_out", "masker", "num", "rows")

    def __init__(self, app_id: str, now: float, masker: Masker) -> None:
        self.app_id = app_id
        self.masker = masker
        self.began = now
        self.num = 0
        self.left_out = 0
        # What is not written yet, by the container that answered: rows, and the calls of their inputs.
        self.rows: dict[str, list[LogRow]] = {}
        self.calls: dict[str, str] = {}


class _Minute:
    """An app's requests within a minute."""

    __slots__ = ("began", "function_id", "left_out", "num")

    def __init__(self, now: float) -> None:
        self.began = now
        self.num = 0
        # Requests that have no line since there were too many in this minute, and the function of the last of them.
        self.left_out = 0
        self.function_id = ""

    def may_have(self, function_id: str, requests: int) -> bool:
        """Take one line, which tells of so many requests; where there is none left, count them."""
        if self.num < MAX_A_MINUTE:
            self.num += 1
            return True
        self.left_out += requests
        self.function_id = function_id
        return False


class RequestLog:
    """Notes requests as they end."""

    def __init__(
        self,
        logs: Log,
        masks: Masks,
        dispatcher: Dispatcher,
        clients: Clients,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._logs = logs
        self._masks = masks
        self._dispatcher = dispatcher
        self._clients = clients
        self._seconds: dict[str, _Second] = {}
        self._minutes: dict[str, _Minute] = {}
        self._timer: asyncio.TimerHandle | None = None

    def note(
        self,
        app_id: str,
        function_id: str,
        method: str,
        raw_path: bytes,
        has_query: bool,
        status: int,
        exchange: Exchange | None,
        seconds: float,
    ) -> None:
        """Have a line for a request. `status` 0: nobody was answered, since the client had gone.

        What stands behind "?" may be a token, and is left out; of the path control characters are escaped, the
        values of the app's secrets masked.
        """
        now = self._now()
        second = self._seconds.get(function_id)
        if second is None:
            second = self._seconds[function_id] = self._second(app_id, now)
        elif now - second.began >= 1.0:
            self._write(function_id, second)
            second = self._seconds[function_id] = self._second(app_id, now)
        if second.num >= MAX_A_SECOND:
            second.left_out += 1
        elif self._minute(app_id, now).may_have(function_id, 1):
            second.num += 1
            input_id = exchange.request_id if exchange is not None else ""
            path = shown(raw_path, MOST_OF_A_PATH) + ("?…" if has_query else "")
            text = f"{shown(method.encode(), MOST_OF_A_METHOD)} {path} → {status or 'client gone'} ({_span(seconds)})"
            text = second.masker.text(text) + (f" {input_id}" if input_id else "")
            container = exchange.item.container if exchange is not None else None
            container_id = container.container_id if container is not None else ""
            row = (_SYSTEM, input_id, time.time_ns() // 1_000_000, text, False)
            second.rows.setdefault(container_id, []).append(row)
            if exchange is not None:
                second.calls[input_id] = exchange.call.call_id
        if self._timer is None:
            self._look_later()

    def close(self) -> None:
        """Write what is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for function_id, second in self._seconds.items():
            self._write(function_id, second)
        self._seconds.clear()
        for app_id, minute in self._minutes.items():
            self._write_minute(app_id, minute)
        self._minutes.clear()

    def _second(self, app_id: str, now: float) -> _Second:
        return _Second(app_id, now, self._masks.masker(app_id))

    def _minute(self, app_id: str, now: float) -> _Minute:
        """Return the app's minute that is now."""
        minute = self._minutes.get(app_id)
        if minute is None or now - minute.began >= _MINUTE_S:
            if minute is not None:
                self._write_minute(app_id, minute)
            minute = self._minutes[app_id] = _Minute(now)
        return minute

    def _look_later(self) -> None:
        """Look again where something is to be written: soon, or in a while where only a minute is to end."""
        delay_s = GATHER_S if self._seconds else 1.0
        if self._seconds or any(minute.left_out for minute in self._minutes.values()):
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._now()
        for function_id, second in list(self._seconds.items()):
            if now - second.began >= 1.0:
                self._write(function_id, second)
                del self._seconds[function_id]
            else:
                self._write_rows(function_id, second)
        for app_id, minute in list(self._minutes.items()):
            if now - minute.began >= _MINUTE_S:
                self._write_minute(app_id, minute)
                del self._minutes[app_id]
        self._look_later()

    def _write(self, function_id: str, second: _Second) -> None:
        """Write all that there is to say of a second that is over."""
        if second.left_out and self._minute(second.app_id, self._now()).may_have(function_id, second.left_out):
            text = f"and {second.left_out:,} more requests within 1 s"
            row = (_SYSTEM, "", time.time_ns() // 1_000_000, text, False)
            second.rows.setdefault("", []).append(row)
        second.left_out = 0
        self._write_rows(function_id, second)

    def _write_minute(self, app_id: str, minute: _Minute) -> None:
        """Write how many requests of a minute that is over have no line."""
        if minute.left_out:
            text = f"and {minute.left_out:,} more requests within 1 min"
            self._append(app_id, minute.function_id, "", [(_SYSTEM, "", time.time_ns() // 1_000_000, text, False)], {})

    def _write_rows(self, function_id: str, second: _Second) -> None:
        rows, second.rows = second.rows, {}
        calls, second.calls = second.calls, {}
        for container_id, own in rows.items():
            self._append(second.app_id, function_id, container_id, own, calls)

    def _append(
        self, app_id: str, function_id: str, container_id: str, rows: list[LogRow], calls: dict[str, str]
    ) -> None:
        batch = self._logs.append(app_id, function_id, container_id, rows, calls)
        queue = self._dispatcher.queue(function_id)
        client = self._clients.get(queue.client_id) if queue is not None else None
        if client is not None and client.connected:
            client.log(batch.lines(), None)


def shown(raw: bytes, most: int) -> str:
    """Return what a visitor sent, as a line may have it: printable ASCII, and no more than so many characters."""
    text = raw[: most + 1].decode("latin-1")
    if not (text.isascii() and text.isprintable()):
        text = "".join(one if one.isascii() and one.isprintable() else f"\\x{ord(one):02x}" for one in text)
    return text if len(text) <= most else text[: most - 1] + "…"


def _span(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"
