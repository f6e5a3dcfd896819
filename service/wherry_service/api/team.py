"""Tokens and Audit: served to the service's user on its sockets, and to those who have a token."""

from collections.abc import Callable

from wherry_proto.messages import (
    AuditListRequest,
    AuditListResponse,
    TokenCreated,
    TokenCreateRequest,
    TokenInfo,
    TokenListRequest,
    TokenListResponse,
    TokenRevokeRequest,
    TokenWhoRequest,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ADMIN, ANY, Where
from wherry_service.api.tokens import EVERYWHERE, SCOPES, Tokens, allows
from wherry_service.errors import Denied, NotFound
from wherry_service.store.tokens import AuditStore

MAX_ENTRIES = 10_000


class TeamApi:
    """Who may do what, and who did what. `asker` is None for the service's own user, who may do all."""

    def __init__(
        self,
        tokens: Tokens,
        expect_environment: Callable[[str], None],
        audit: AuditStore,
        revoked: Callable[[str], None],
        address: Callable[[], tuple[str, str]],
    ) -> None:
        self._tokens = tokens
        # Raises `NotFound` for one that is not there.
        self._expect_environment = expect_environment
        self._audit = audit
        # Ends what the token has open.
        self._revoked = revoked
        # URL of the service over TCP, and the certificate that clients are to pin; "" for none.
        self._address = address

    @rpc("Tokens.Create", ADMIN, Where.TOKEN, audited=True)
    async def create(self, request: TokenCreateRequest, asker: TokenInfo | None = None) -> TokenCreated:
        if asker is not None and "admin" not in asker.scopes:
            raise Denied(f"token {asker.name!r} is no admin's: it can't make tokens")
        for environment in request.environments:
            if asker is not None and not allows(asker, (), environment):
                where = "all environments" if environment == EVERYWHERE else f"environment {environment[:64]!r}"
                raise Denied(f"token {asker.name!r} is not an admin of {where}, and can't make tokens for it")
        token, secret = await self._tokens.create(
            request.name, request.scopes, request.environments, self._expect_environment
        )
        url, certificate = self._address()
        return TokenCreated(token=token, secret=secret, server_url=url, certificate=certificate)

    @rpc("Tokens.List", ADMIN, Where.TOKEN)
    async def list(self, request: TokenListRequest, asker: TokenInfo | None = None) -> TokenListResponse:
        if asker is not None and "admin" not in asker.scopes:
            raise Denied(f"token {asker.name!r} is no admin's: it can't list tokens")
        found = [token for token in self._tokens.all() if request.include_revoked or not token.revoked_at_ms]
        return TokenListResponse(tokens=[token for token in found if _administers(asker, token)])

    @rpc("Tokens.Revoke", ADMIN, Where.TOKEN, audited=True)
    async def revoke(self, request: TokenRevokeRequest, asker: TokenInfo | None = None) -> TokenInfo:
        own = asker is not None and request.token_id == asker.token_id
        if asker is not None and not own:
            if "admin" not in asker.scopes:
                raise Denied(f"token {asker.name!r} is no admin's: it can revoke itself alone")
            known = next((token for token in self._tokens.all() if token.token_id == request.token_id), None)
            if known is None or not _administers(asker, known):
                raise NotFound(f"there is no token {request.token_id[:64]!r}")
        token = await self._tokens.revoke(request.token_id)
        self._revoked(token.token_id)
        return token

    @rpc("Tokens.Who", ANY, Where.TOKEN)
    async def who(self, request: TokenWhoRequest, asker: TokenInfo | None = None) -> TokenInfo:
        return asker or TokenInfo(name="local", scopes=[*SCOPES], environments=[EVERYWHERE])

    @rpc("Audit.List", ADMIN, Where.EVERYWHERE)
    async def audit(self, request: AuditListRequest) -> AuditListResponse:
        return AuditListResponse(entries=await self._audit.latest(min(request.limit or 100, MAX_ENTRIES)))


def _administers(asker: TokenInfo | None, token: TokenInfo) -> bool:
    return asker is None or all(allows(asker, (), environment) for environment in token.environments)
