"""Posts events to a webhook, one after the other, on a thread of its own: whoever tells one never waits."""

import base64
import datetime
import http.client
import json
import logging
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from wherry_service.errors import Rarely
from wherry_service.notify.settings import NotifySettings

log = logging.getLogger(__name__)

# Events that wait to be sent; of more, the newest are dropped.
MOST_WAITING = 100
# Characters of one value of an event.
MOST_TEXT = 1000
# Seconds that one try may take for each of its steps, and seconds between tries.
TIMEOUT_S = 10.0
PAUSES_S = (1.0, 5.0, 15.0, 60.0, 300.0)
# Seconds within which the same event about the same thing is told once; the next one says how often it came.
REPEAT_S = 600.0
# Subjects whose last time is remembered.
_MOST_KNOWN = 1000
# Seconds that what waits gets to be sent when the service ends.
_LAST_S = 2.0
# Answers after which it is tried again: there is too much to do, or the receiver is ill.
_AGAIN = (408, 425, 429)

Post = Callable[[str, bytes], int]


class Notifier:
    """Tells a webhook of events. Without one it does nothing."""

    def __init__(
        self,
        settings: NotifySettings,
        post: "Post | None" = None,
        pauses_s: tuple[float, ...] = PAUSES_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self._post = post or post_json
        self._pauses_s = pauses_s
        self._now = now
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(MOST_WAITING)
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        # When something was told last, and how often it came since.
        self._told: dict[tuple[str, str], tuple[float, int]] = {}
        self._dropped = Rarely()

    @property
    def is_on(self) -> bool:
        """Whether there is a webhook."""
        return bool(self.settings.url)

    def wants(self, event: str) -> bool:
        """Whether the webhook gets such events."""
        return self.is_on and event in self.settings.events

    def begin(self) -> None:
        """Begin to send."""
        if self.is_on and self._thread is None:
            # A daemon: a receiver that does not answer holds up no end.
            self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Send what waits, for a moment, and end. Blocks for 2 s at most."""
        if self._thread is None:
            return
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            self._ending.set()
        self._thread.join(_LAST_S)
        self._ending.set()

    def tell(self, event: str, subject: str, text: str, facts: Mapping[str, Any] | None = None) -> None:
        """Have an event sent. Never blocks, and never raises.

        `subject` is what it is about: the same about the same is told once in ten minutes. `text` is one sentence;
        `facts` are more values of the event, such as `app`.
        """
        if not self.wants(event):
            return
        repeated = self._repeated(event, subject)
        if repeated is None:
            return
        try:
            self._waiting.put_nowait(described(event, text, {**(facts or {}), "repeated": repeated}, self._now()))
        except queue.Full:
            # It was not told: the next one is, as soon as there is room, and counts it.
            self._told[event, subject] = -REPEAT_S, repeated + 1
            if self._dropped.may_tell(f"{event} {subject}"):
                log.warning("a notification (%s) was dropped: %d others wait to be sent", event, MOST_WAITING)

    def _repeated(self, event: str, subject: str) -> int | None:
        """Return how often it came since it was told last; None if it is not to be told now."""
        now, key = self._now(), (event, subject)
        at, count = self._told.pop(key, (-REPEAT_S, 0))
        if abs(now - at) < REPEAT_S:
            self._told[key] = at, count + 1
            return None
        while len(self._told) >= _MOST_KNOWN:
            del self._told[next(iter(self._told))]
        self._told[key] = now, 0
        return count

    def _run(self) -> None:
        while (event := self._waiting.get()) is not None and not self._ending.is_set():
            self._send(event)

    def _send(self, event: dict[str, Any]) -> None:
        data = json.dumps(event).encode()
        for pause_s in (*self._pauses_s, None):
            problem, again = tried(self._post, self.settings.url, data)
            if not problem:
                return
            if pause_s is None or not again:
                log.warning("the notification %s was not delivered: %s", event["event"], problem)
                return
            if self._ending.wait(pause_s):
                return


def tried(post: Post, url: str, data: bytes) -> tuple[str, bool]:
    """Post once; return what went wrong ("": nothing), and whether another try may help. Never says the address."""
    try:
        status = post(url, data)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {getattr(error, 'strerror', None) or 'no answer'}", True
    if 200 <= status < 300:
        return "", False
    if 300 <= status < 400:
        return f"the webhook answered {status}, and redirects are not followed: set notify.url to where it leads", False
    return f"the webhook answered {status}", status >= 500 or status in _AGAIN


def post_json(url: str, data: bytes, timeout_s: float = TIMEOUT_S) -> int:
    """Post JSON to an http(s) URL and return the status; no redirect is followed, and the answer is not read."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    headers = {"Content-Type": "application/json", "User-Agent": "wherry"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    try:
        connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), data, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def described(event: str, text: str, facts: Mapping[str, Any], at: float) -> dict[str, Any]:
    """Return an event as it is sent; long texts are cut."""
    when = datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="seconds")
    found: dict[str, Any] = {"version": 1, "event": event, "at": when, "service": socket.gethostname(), "text": text}
    found.update({name: value for name, value in facts.items() if value not in (None, "")})
    return {name: _cut(value) if isinstance(value, str) else value for name, value in found.items()}


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"
