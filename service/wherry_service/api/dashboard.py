"""Dashboard: links that sign in to the web pages."""

from collections.abc import Awaitable, Callable

from wherry_proto.messages import DashboardLink, DashboardLinkRequest, TokenInfo
from wherry_service.api.logins import LINK_S, Logins
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ANY, Where
from wherry_service.errors import InvalidRequest


class DashboardApi:
    """Gives links."""

    def __init__(
        self, logins: Logins, places: Callable[[], tuple[str, str]] | None, ready: Callable[[], Awaitable[None]]
    ) -> None:
        self._logins = logins
        # The URLs of the pages: at their own name, and at an address; None: they are off.
        self._places = places
        self._ready = ready

    @rpc("Dashboard.Link", ANY, Where.TOKEN, audited=True)
    async def link(self, request: DashboardLinkRequest, asker: TokenInfo | None = None) -> DashboardLink:
        if self._places is None:
            raise InvalidRequest("the dashboard is off: set ui.enabled to on, and restart the service")
        await self._ready()
        code = self._logins.link(asker.token_id if asker is not None else "")
        own, plain = (f"{place}/login?code={code}" for place in self._places())
        return DashboardLink(url=own, plain_url=plain, seconds=LINK_S)
