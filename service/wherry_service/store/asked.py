"""When contents were last sent or asked for: what a client was told is there stays for as long as it may need it."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from wherry_service.ids import new_id

_SINCE = "since"


class Asked:
    """Marks, an empty file for each content. A file's own time won't do: containers see it.

    Whoever asks notes it first, and then looks whether the content is there; whoever deletes holds `old` meanwhile. So
    either the one who asks is told that it is gone, or it stays. A content without a mark counts as asked for when the
    marks began.
    """

    def __init__(self, root: Path, now: Callable[[], float] = time.time) -> None:
        self._root = root
        self._now = now
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (root / _SINCE).exists():
            # By its own name at once: marks that begin anew must not look old.
            part = root / f"{new_id('bl')}.part"
            part.write_text(str(now()))
            part.replace(root / _SINCE)

    def note(self, digests: Iterable[str]) -> None:
        """Note that contents, by their hashes, are asked for or sent now. Waits while others are being deleted."""
        with self._lock:
            for digest in digests:
                path = self._path(digest)
                path.parent.mkdir(exist_ok=True)
                path.write_text(str(self._now()))

    @contextlib.contextmanager
    def old(self, digests: Iterable[str], older_than_s: float) -> Iterator[list[str]]:
        """Give those that nobody asked for since, and let nobody ask within this block, which deletes them."""
        with self._lock:
            limit = self._now() - older_than_s
            since = self._time(self._root / _SINCE) or 0.0
            found = [digest for digest in digests if (self._time(self._path(digest)) or since) < limit]
            yield found
            for digest in found:
                self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._root / digest[:2] / digest

    def _time(self, path: Path) -> float | None:
        try:
            return float(path.read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            # Cut off by a crash: it was written lately, or it will be older next time.
            return path.stat().st_mtime
