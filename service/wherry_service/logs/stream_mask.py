"""Masks the values of secrets in a stream of bytes that passes piece by piece."""

import re
from collections.abc import Iterable

from wherry_service.logs.masks import MASK, Masks

_OWNER = "stream"


class StreamMask:
    """Replaces values, also those that come in two pieces: what may be the beginning of one is kept back."""

    def __init__(self, values: Iterable[str]) -> None:
        masks = Masks()
        masks.add(_OWNER, values)
        self._values = [value.encode(errors="surrogateescape") for value in masks.values(_OWNER)]
        # At each place the longest value that begins there.
        self._pattern = re.compile(b"|".join(map(re.escape, self._values)))
        self._kept = b""

    def feed(self, data: bytes) -> bytes:
        """Return what may be shown of it, and of what was kept back."""
        if not self._values:
            return data
        data = self._kept + data
        end = len(data) - self._beginning(data)
        for match in self._pattern.finditer(data):
            if match.start() < end < match.end():
                end = match.end()
        self._kept = data[end:]
        return self._pattern.sub(MASK.encode(), data[:end])

    def rest(self) -> bytes:
        """Return what is still kept back: nothing follows, so it is no whole value."""
        kept, self._kept = self._kept, b""
        return self._pattern.sub(MASK.encode(), kept) if self._values else kept

    def _beginning(self, data: bytes) -> int:
        """Return how many bytes at the end may be the beginning of a value."""
        most = 0
        for value in self._values:
            for length in range(min(len(value) - 1, len(data)), most, -1):
                if value.startswith(data[-length:]):
                    most = length
                    break
        return most
