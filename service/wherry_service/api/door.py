"""The way in for who comes over TCP: tokens, rules and the audit log, put together."""

from collections.abc import Callable
from pathlib import Path

from wherry_service.api.access import Access
from wherry_service.api.audit import AuditLog
from wherry_service.api.member import RequestContext
from wherry_service.api.notes import Notes
from wherry_service.api.places import Places
from wherry_service.api.rpc import Handler
from wherry_service.api.tcp import TcpServer
from wherry_service.api.team import TeamApi
from wherry_service.api.tokens import Tokens
from wherry_service.settings import Settings
from wherry_service.store.tokens import AuditStore


class Door:
    """Serves over TCP, where the settings say so; and notes what is done, whoever does it."""

    def __init__(
        self,
        settings: Settings,
        state_dir: Path,
        tokens: Tokens,
        expect_environment: Callable[[str], None],
        audit: AuditStore,
        places: Places,
        around: RequestContext,
    ) -> None:
        self._tokens = tokens
        self._expect_environment = expect_environment
        self._audit = audit
        self.notes = Notes(AuditLog(audit))
        self.access = Access(tokens, places, around, self.notes)
        self.tcp = TcpServer(settings, state_dir) if settings.listen else None

    def team(self) -> TeamApi:
        """Return what serves tokens and the audit log."""
        return TeamApi(self._tokens, self._expect_environment, self._audit, self.access.revoked, self._address)

    def _address(self) -> tuple[str, str]:
        return (self.tcp.url, self.tcp.certificate) if self.tcp is not None else ("", "")

    async def begin(self, handlers: dict[str, Handler]) -> None:
        """Listen, if that is wanted."""
        await self._tokens.begin()
        if self.tcp is not None:
            await self.tcp.start(handlers, self.access)

    async def expire(self) -> None:
        """Forget old entries of the audit log."""
        await self._audit.expire()

    async def drain(self) -> None:
        """Tell load balancers to send nobody any more."""
        if self.tcp is not None:
            await self.tcp.drain()

    async def close(self) -> None:
        """Stop listening; wait until the audit log is written."""
        if self.tcp is not None:
            await self.tcp.stop(1.0)
        await self.access.close()
