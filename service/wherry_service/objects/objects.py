"""All objects of the service: made by name, gone with whom they belong to."""

from collections.abc import Mapping, Sequence

from wherry_service.objects.secrets import Secrets


class Objects:
    """What programs share beside calls (implements `apps.AppObjects`)."""

    def __init__(self, secrets: Secrets) -> None:
        self.secrets = secrets

    async def check_secrets(self, secret_ids: Sequence[str], environment: str) -> None:
        """Raise `NotFound` unless all of these are secrets of that environment."""
        await self.secrets.check(secret_ids, environment)

    async def secret_values(self, secret_ids: Sequence[str]) -> Mapping[str, str]:
        """Return what a container gets of these secrets."""
        return await self.secrets.values(secret_ids)

    async def secret_values_of(self, secret_ids: Sequence[str], environment: str) -> Mapping[str, str]:
        """Return the values of these secrets; raise `NotFound` unless all are of that environment."""
        await self.secrets.check(secret_ids, environment)
        return await self.secrets.values(secret_ids)

    async def app_gone(self, app_id: str) -> None:
        """Delete what an app had as its own."""
