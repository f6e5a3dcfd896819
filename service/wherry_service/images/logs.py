"""Logs of builds: the last one of each image, as a file."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from wherry_service.errors import NotFound

_CHUNK = 64 << 10
_LOOK_EVERY_S = 0.1


class BuildLogs:
    """A directory with one file an image."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, image_id: str) -> Path:
        """Return where an image's log is, or would be."""
        return self._directory / f"{image_id}.log"

    async def read(self, image_id: str, until: "asyncio.Future[Any] | None") -> AsyncIterator[str]:
        """Yield the log; with a build that runs, until that has ended. Raises `NotFound` if there is none."""
        try:
            file = self.path(image_id).open(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            raise NotFound(f"there is no log of {image_id}: it was not built here") from None
        with file:
            while True:
                ended = until is None or until.done()
                if text := file.read(_CHUNK):
                    yield text
                elif ended:
                    return
                elif until is not None:
                    await asyncio.wait([until], timeout=_LOOK_EVERY_S)

    def remove(self, image_id: str) -> None:
        """Remove an image's log; a missing one is fine."""
        self.path(image_id).unlink(missing_ok=True)
