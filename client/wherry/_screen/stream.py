"""Where the screen writes: never the reason that a call fails."""

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Any, TextIO

# There is nobody on the other side, and there won't be again.
_GONE = frozenset((errno.EPIPE, errno.EBADF, errno.EIO))


class ScreenStream:
    """A text stream that raises nothing. None, as Python has it for a closed descriptor, takes everything.

    What can't be encoded is shown as "?", what can't be written is dropped. `on_gone` is called, in whichever thread
    writes, when nobody reads any more (`| head`); a full disk may have room again.
    """

    def __init__(self, stream: TextIO | None, on_gone: Callable[[], None] = lambda: None) -> None:
        self._stream = stream
        self._on_gone = on_gone

    def write(self, text: str) -> int:
        stream = self._stream
        if stream is not None:
            try:
                stream.write(text)
            except UnicodeEncodeError:
                encoding = getattr(stream, "encoding", None) or "ascii"
                with self._dropping():
                    stream.write(text.encode(encoding, "replace").decode(encoding))
            except (OSError, ValueError) as error:
                self._dropped(error)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            with self._dropping():
                self._stream.flush()

    def isatty(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):  # it is closed
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _dropping(self) -> Any:
        try:
            yield
        except (OSError, ValueError) as error:
            self._dropped(error)

    def _dropped(self, error: OSError | ValueError) -> None:
        if isinstance(error, OSError) and error.errno not in _GONE:
            return
        stream, self._stream = self._stream, None
        if isinstance(error, OSError) and stream is not None:
            _point_at_nothing(stream)
        self._on_gone()


def _point_at_nothing(stream: TextIO) -> None:
    """What is in the stream's buffer would raise once more, as the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(descriptor, stream.fileno())
        finally:
            os.close(descriptor)
