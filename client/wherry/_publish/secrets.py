"""Secrets as containers and builds want them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry._publish.resolver import Want

if TYPE_CHECKING:
    from wherry._publish.resolver import Resolver
    from wherry.secret import Secret


class WantedSecret(Want[str]):
    """A secret: its id.

    A name without an environment means the app's, else that of the environment given, else of the client's.
    """

    STAGE = 4

    __slots__ = ("_secret",)

    def __init__(self, secret: Secret) -> None:
        super().__init__(id(secret))
        self._secret = secret

    def bring_up(self, resolver: Resolver) -> str:
        return self._secret.resolve_for(resolver.client, resolver.app_id, resolver.environment)
