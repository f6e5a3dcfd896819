"""Blobs of values: made the object's own when they come, deleted some time after nothing refers to them."""

import asyncio
from collections.abc import Callable, Iterable

from wherry_proto.messages import Payload
from wherry_service.store.blobs import BlobStore

# Seconds for which somebody who was told of a blob may still come for it.
GRACE_S = 600.0


class Leftovers:
    """Takes blobs over and deletes them later."""

    def __init__(
        self,
        blobs: BlobStore,
        grace_s: float = GRACE_S,
        call_later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        self._blobs = blobs
        self._grace_s = grace_s
        self._call_later = call_later

    async def own(self, values: Iterable[Payload | None]) -> list[str]:
        """Put blobs that the values name under ids of their own; return the ids that the client had given them.

        So a blob belongs to one entry alone, whatever else its client does with the id it knows. Raises `NotFound`
        for a blob that is not there, `Unready` where it can't be kept.
        """
        given: list[str] = []
        for value in values:
            if value is not None and value.blob_id:
                given.append(value.blob_id)
                value.blob_id = await asyncio.to_thread(self._own, value.blob_id)
        return given

    def _own(self, blob_id: str) -> str:
        own_id = self._blobs.clone(blob_id)
        self._blobs.keep(own_id)
        return own_id

    def drop(self, blob_ids: Iterable[str]) -> None:
        """Delete blobs that nobody was told of."""
        for blob_id in blob_ids:
            self._blobs.delete(blob_id)

    def add(self, blob_ids: Iterable[str]) -> None:
        """Delete blobs that nothing refers to any more, when those have them who were told of them.

        The service ending before is no matter: its next life deletes what nothing refers to.
        """
        doomed = list(blob_ids)
        if doomed:
            later = self._call_later or asyncio.get_running_loop().call_later
            later(self._grace_s, lambda: self.drop(doomed))
