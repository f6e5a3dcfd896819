"""Files of sandboxes that are open, as `Sandbox.open` gives them."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

from wherry._base.blocking import blocking
from wherry._base.waiting import in_thread
from wherry.types import FileWatchEvent, FileWatchEventType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = ["FileIO", "FileWatchEvent", "FileWatchEventType"]

T = TypeVar("T", str, bytes)


class FileIO(Generic[T]):
    """A file of a sandbox that is open, of text or bytes. (reference: FileIO)

    The whole file is held here: read when it is opened, written when it is flushed or closed. Its methods raise what
    those of a local file raise.
    """

    def __init__(self, file: IO[Any]) -> None:
        self._file = file

    @blocking
    def read(self, n: int | None = None) -> T:
        """Return what follows, at most `n` characters or bytes."""
        found: T = self._file.read(-1 if n is None else n)
        return found

    @blocking
    def readline(self) -> T:
        """Return the next line with its end; an empty one at the end of the file."""
        found: T = self._file.readline()
        return found

    @blocking
    def readlines(self) -> list[T]:
        """Return the lines that follow."""
        return self._file.readlines()

    @blocking
    def write(self, data: T) -> int:
        """Write text, or bytes; return how many characters or bytes."""
        return self._file.write(data)

    @blocking
    def flush(self) -> None:
        """Take what was written into the sandbox."""
        self._file.flush()

    @blocking
    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place of the file, counted from its beginning (0), from here (1) or from its end (2)."""
        return self._file.seek(offset, whence)

    @blocking
    def tell(self) -> int:
        """Return the place in the file."""
        return self._file.tell()

    @blocking
    def close(self) -> None:
        """Take what was written into the sandbox, and close it."""
        self._file.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._file.closed

    def __enter__(self) -> FileIO[T]:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> FileIO[T]:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close.aio()

    def __iter__(self) -> Iterator[T]:
        return iter(self._file)

    async def __aiter__(self) -> AsyncIterator[T]:
        for line in await in_thread(self._file.readlines):
            yield line
