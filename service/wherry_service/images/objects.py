"""What the steps of an image may use of what programs share: secrets, and volumes."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class BuildObjects(Protocol):
    """Knows the objects of each environment."""

    async def secret_values_of(self, secret_ids: Sequence[str], environment: str) -> Mapping[str, str]:
        """Return the values of these secrets; raise `NotFound` unless all are of that environment."""

    async def check_secrets(self, secret_ids: Sequence[str], environment: str) -> None:
        """Raise `NotFound` unless all of these are secrets of that environment."""

    async def check_volumes(self, volume_ids: Sequence[str], environment: str) -> None:
        """Raise `NotFound` unless all of these are volumes of that environment."""
