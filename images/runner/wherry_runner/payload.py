"""Values to bytes and back: small ones inline, big ones straight from and to a file."""

from __future__ import annotations

import os
from _pickle import PickleBuffer, Pickler, load, loads
from _pickle import dumps as pickle_dumps

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

INLINE_BYTES = 1 << 20
PICKLE = 1
_PROTOCOL = 5
_SMALL = frozenset((type(None), bool, int, float))


class Payloads:
    """Reads and writes under the container's directory (`/run/wherry`)."""

    def __init__(self, directory: str) -> None:
        self._in = os.path.join(directory, "in")
        self._out = os.path.join(directory, "out")
        self._names = 0

    def read(self, format: int, blob: str | None, data: bytes) -> Any:
        """Unpickle. Raise whatever unpickling raises; the file is gone after it either way."""
        if format != PICKLE:
            raise ValueError(f"format {format} is unknown here")
        if blob is None:
            return loads(data)
        path = os.path.join(self._in, blob)
        try:
            with open(path, "rb", buffering=64 << 10) as file:
                return load(file)
        finally:
            try:  # noqa: SIM105
                os.unlink(path)
            except OSError:
                pass  # another user's directory: the agent removes it with the container

    def write(self, value: Any) -> tuple[bytes, str | None, int]:
        """Pickle: return the bytes, or the name of the file that holds them, and the size."""
        if type(value) in _SMALL:
            data = pickle_dumps(value, _PROTOCOL)
            return data, None, len(data)
        sink = _Sink(self._new_path)
        try:
            try:
                Pickler(sink, _PROTOCOL).dump(value)
            except Exception as error:  # whatever a user's __reduce__ raises
                sink.discard()
                pickler = _cloud_pickler()
                if pickler is None:
                    raise
                sink = _Sink(self._new_path)
                try:
                    pickler(sink, _PROTOCOL).dump(value)
                except Exception as second:
                    raise second from error
            return sink.finish()
        except BaseException:
            sink.discard()
            raise

    def _new_path(self) -> str:
        self._names += 1
        return os.path.join(self._out, f"{os.getpid()}-{self._names}-{os.urandom(6).hex()}")


def raw_bytes(data: Any) -> Any:
    """Return the memory of what a pickler passes to `write`, as one flat row of bytes, without copying it.

    From 64 KiB on that is the object itself: a bytearray, or the PickleBuffer of an array, which has no length, may
    have several dimensions, and may hold its columns one after the other.
    """
    return PickleBuffer(data).raw()


def _cloud_pickler() -> Any:
    # Only when pickle has failed: it costs 15 ms to import.
    try:
        from cloudpickle import Pickler as CloudPickler
    except ImportError:
        return None
    return CloudPickler


class _Sink:
    """Keeps what is written, up to the inline limit; beyond it, writes a file without gathering it first."""

    def __init__(self, new_path: Callable[[], str]) -> None:
        self._new_path = new_path
        self._chunks: list[bytes] = []
        self._size = 0
        self._fd = -1
        self._path = ""

    def write(self, data: Any) -> None:
        if type(data) is not bytes:
            data = raw_bytes(data)
        self._size += len(data)
        if self._fd < 0:
            if self._size <= INLINE_BYTES:
                # A pickler may reuse what it passes, unless it is bytes.
                self._chunks.append(data if type(data) is bytes else bytes(data))
                return
            path = self._new_path()
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            self._path = path
            self._write(b"".join(self._chunks))
            self._chunks = []
        self._write(data)

    def _write(self, data: Any) -> None:
        view = memoryview(data)
        while view.nbytes:
            view = view[os.write(self._fd, view) :]

    def finish(self) -> tuple[bytes, str | None, int]:
        if self._fd < 0:
            chunks = self._chunks
            return (chunks[0] if len(chunks) == 1 else b"".join(chunks)), None, self._size
        os.close(self._fd)
        self._fd = -1
        return b"", os.path.basename(self._path), self._size

    def discard(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._path:
            os.unlink(self._path)
            self._path = ""
