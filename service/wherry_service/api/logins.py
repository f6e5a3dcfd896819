"""Who is signed in to the web pages: links that are good once, and sessions, which outlive the service.

Of neither is kept what a browser holds: only its hash. A session is good at the host name that it began at.
"""

import hashlib
import hmac
import json
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger(__name__)

FILE_NAME = "ui_sessions.json"
# Seconds that a link is good for.
LINK_S = 60
MAX_LINKS = 100
MAX_SESSIONS = 500


@dataclass(slots=True)
class Session:
    """A browser that is signed in."""

    # The hash of what its cookie holds.
    key: str
    # Whose; "": the service's own user's.
    token_id: str
    host: str
    # Seconds since the epoch.
    until: float


class Logins:
    """All links and sessions. `hours`: after so many a session ends."""

    def __init__(self, path: Path, hours: float, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._hours = hours
        self._now = now
        # By the hash of the code: whose, and until when.
        self._links: dict[str, tuple[str, float]] = {}
        self._sessions: dict[str, Session] = {}
        # What is told when sessions have ended.
        self.on_ended: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Read the sessions of an earlier life; a file that can't be read is none."""
        if not self._path.exists():
            return
        try:
            rows = json.loads(self._path.read_text())
            self._sessions = {row["key"]: Session(**row) for row in rows}
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("%s can't be read, so everyone signs in again: %s", self._path, error)

    # Links

    def link(self, token_id: str) -> str:
        """Return a code that signs in once, within `LINK_S` seconds."""
        now = self._now()
        self._links = {key: item for key, item in self._links.items() if item[1] > now}
        while len(self._links) >= MAX_LINKS:
            del self._links[next(iter(self._links))]
        code = secrets.token_urlsafe(32)
        self._links[_hash(code)] = (token_id, now + LINK_S)
        return code

    def redeem(self, code: str) -> str | None:
        """Return whose a code is, which is good no more; None if it is not good."""
        token_id, until = self._links.pop(_hash(code), ("", 0.0))
        return token_id if until > self._now() else None

    # Sessions

    def open(self, token_id: str, host: str) -> str:
        """Begin a session; return what its cookie holds."""
        now = self._now()
        self._sessions = {key: item for key, item in self._sessions.items() if item.until > now}
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        cookie = secrets.token_urlsafe(32)
        key = _hash(cookie)
        self._sessions[key] = Session(key, token_id, host, now + self._hours * 3600)
        self._write()
        return cookie

    def find(self, cookie: str, host: str) -> Session | None:
        """Return the session of a cookie, if it is one of that host and has not ended."""
        session = self._sessions.get(_hash(cookie))
        return session if session is not None and session.host == host and self.is_open(session) else None

    def is_open(self, session: Session) -> bool:
        """Whether a session has not ended."""
        return session.key in self._sessions and session.until > self._now()

    def end(self, session: Session) -> None:
        """End a session: its cookie is good for nothing."""
        if self._sessions.pop(session.key, None) is not None:
            self._write()
            for tell in self.on_ended:
                tell()

    def _write(self) -> None:
        made = self._path.with_suffix(".new")
        try:
            with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump([asdict(session) for session in self._sessions.values()], file)
            made.replace(self._path)
        except OSError as error:
            log.warning("%s can't be written, so sign-ins end with the service: %s", self._path, error)


def proof_of(cookie: str) -> str:
    """Return what a session's own pages send beside the cookie, which other pages can't know."""
    return hmac.new(cookie.encode(), b"wherry page", hashlib.sha256).hexdigest()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
