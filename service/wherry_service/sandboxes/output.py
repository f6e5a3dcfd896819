"""What the commands of sandboxes have printed, kept after their containers are gone."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from wherry_service.engines.engine import EngineError
from wherry_service.node.sandbox import SandboxNode

log = logging.getLogger(__name__)

STREAMS = {1: "stdout", 2: "stderr"}
_PIECE = 1 << 18


class SavedOutput:
    """A directory for each sandbox that has ended, with a file for each stream."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def save(self, node: SandboxNode, sandbox_id: str) -> None:
        """Keep what the engine has of it; what the engine can't give is lost, and said so in the log."""
        directory = self._directory / sandbox_id
        await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
        for stream, name in STREAMS.items():
            try:
                with open(directory / name, "wb") as file:
                    async for data in node.output(sandbox_id, stream, follow=False):
                        await asyncio.to_thread(file.write, data)
            except (EngineError, OSError) as error:
                log.warning("the %s of sandbox %s could not be kept: %s", name, sandbox_id, error)

    async def read(self, sandbox_id: str, stream: int, offset: int) -> AsyncIterator[bytes]:
        """Yield what is kept, from an offset on."""
        path = self._directory / sandbox_id / STREAMS[stream]
        if not path.exists():
            return
        with open(path, "rb") as file:
            file.seek(offset)
            while data := await asyncio.to_thread(file.read, _PIECE):
                yield data

    def forget(self, sandbox_id: str) -> None:
        """Remove what is kept."""
        shutil.rmtree(self._directory / sandbox_id, ignore_errors=True)
