"""What one container's runner loads: the order, the source tree on its way, and the values of secrets."""

import asyncio
import json
from collections.abc import Mapping

from wherry_service.node import runner_frames
from wherry_service.node.container_files import ContainerFiles
from wherry_service.node.frames import Header
from wherry_service.node.node import LoadOrder
from wherry_service.store.trouble import in_words, is_of_disk


class RunnerLoad:
    """`order` as it was given; `secrets` are variables from secrets, or None: an earlier life of ours ordered it."""

    def __init__(self, order: LoadOrder) -> None:
        self.order = order
        self.secrets: Mapping[str, str] | None = None
        # Whether it is the host's disk that kept it from coming: nothing of the function's.
        self.lacks_disk = False
        self._source: asyncio.Future[None] | None = None

    def begin(self, files: ContainerFiles, secrets: Mapping[str, str]) -> None:
        """Begin to write the source tree."""
        self.secrets = secrets

        def write() -> None:
            if self.order.source_id:
                files.write_source(self.order.source_id)

        self._source = asyncio.ensure_future(asyncio.to_thread(write))

    @property
    def is_there(self) -> bool:
        """Whether the source tree is written, or could not be."""
        return self._source is None or self._source.done()

    async def wait(self) -> None:
        """Wait until `is_there`."""
        if self._source is not None:
            await asyncio.wait([self._source])
            # Seen, whether or not anybody asks for the reason.
            self._source.exception()

    def refusal(self) -> str:
        """Return why it can't be loaded, as the end of a sentence about the container; "" if it can."""
        if self._source is not None and (error := self._source.exception()) is not None:
            self.lacks_disk = is_of_disk(error)
            return f"could not get its source: {in_words(error)}"
        if self.order.has_secrets and self.secrets is None:
            return "had not loaded its code when the service was started anew"
        return ""

    def frame(self) -> tuple[Header, list[bytes]]:
        """Return what its runner is told."""
        secrets = json.dumps(dict(self.secrets)).encode() if self.secrets else b""
        return runner_frames.load(self.order), [self.order.serialized, self.order.parameters, secrets]
