"""The blobs that one container's inputs have."""

import logging
from collections.abc import Collection, Iterable

from wherry_service.errors import ServiceError
from wherry_service.node.container_files import ContainerFiles

log = logging.getLogger(__name__)


class Lendings:
    """Which input was lent which blob, until the input has ended."""

    def __init__(self, container_id: str, files: ContainerFiles) -> None:
        self._container_id = container_id
        self._files = files
        self._lent: dict[str, str] = {}

    def lend(self, input_id: str, blob_id: str) -> None:
        """Have a blob appear in the container for an input."""
        if input_id in self._lent:
            return
        try:
            self._files.lend(blob_id)
        except (ServiceError, OSError) as error:
            # The runner reports the missing file as this input's failure.
            log.warning("container %s: %s", self._container_id, error)
        else:
            self._lent[input_id] = blob_id

    def take_back(self, input_ids: Iterable[str]) -> None:
        """Hear that inputs have ended, or came back."""
        if self._lent:
            for input_id in input_ids:
                if (blob_id := self._lent.pop(input_id, None)) is not None:
                    self._files.take_back(blob_id)

    def keep_only(self, input_ids: Collection[str]) -> None:
        """Hear that the container holds these inputs and no others."""
        self.take_back(set(self._lent).difference(input_ids))
