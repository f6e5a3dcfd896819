"""The HTTP server in the service's process: its libraries are loaded when there is something to serve."""

import asyncio
import contextlib
import copy
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry_service.apps.by_query import ByQuery
from wherry_service.apps.endpoints import Endpoints, Site
from wherry_service.calls.exchange import Exchanges
from wherry_service.calls.requests import RequestLog
from wherry_service.calls.server_sessions import ServerSessions
from wherry_service.errors import ServiceError, Unready
from wherry_service.health import Health
from wherry_service.ingress.auth import ProxyAuth
from wherry_service.ingress.own import OwnPages
from wherry_service.ingress.refusals import Refusals
from wherry_service.ingress.settings import DEFAULT_PORT, HttpSettings
from wherry_service.ingress.traffic import Traffic
from wherry_service.ingress.tunnels import Tunnels
from wherry_service.store.blobs import BlobStore
from wherry_service.store.web import WebStore

if TYPE_CHECKING:
    from wherry_service.ingress.results import Results

log = logging.getLogger(__name__)

BACKLOG = 2048
# Seconds that open requests get when the service stops.
CLOSE_WITHIN_S = 2
# Connections that one container's code may have open at once.
MAX_FROM_INSIDE = 128


# large: all that it gives to what answers
class Ingress:
    """Listens on one port for all endpoints; loads its libraries when the first one is published."""

    def __init__(
        self,
        settings: HttpSettings,
        endpoints: Endpoints,
        exchanges: Exchanges,
        store: WebStore,
        blobs: BlobStore,
        state_dir: Path,
        auth: ProxyAuth,
        by_query: ByQuery,
        sessions: ServerSessions,
        tunnels: Tunnels,
        requests: RequestLog,
        health: Health,
    ) -> None:
        self._health = health
        # What the service itself answers.
        self.own = OwnPages(endpoints)
        self._requests = requests
        self._by_query = by_query
        self._sessions = sessions
        self._tunnels = tunnels
        self._settings = settings
        self._endpoints = endpoints
        self._exchanges = exchanges
        self._store = store
        self._blobs = blobs
        self._state_dir = state_dir
        self._auth = auth
        self._refusals = Refusals()
        self.traffic = Traffic()
        self._server: Any = None
        self._config: Any = None
        self._serving: asyncio.Task[None] | None = None
        self._results: Results | None = None
        self._lock = asyncio.Lock()
        self._socket: socket.socket | None = None
        self._endpoints.set_site(self._site(settings.port or DEFAULT_PORT))

    def _site(self, port: int) -> Site:
        settings = self._settings
        return Site(settings.workspace, settings.domain, settings.scheme, settings.public_port or port)

    @property
    def site(self) -> Site:
        """How it is reached, as far as that is known before it listens."""
        return self._endpoints.site

    async def ready(self) -> None:
        """Listen, if it does not already; raise `Unready` where the port can't be had."""
        async with self._lock:
            self._serve(self._socket or self._open())

    async def await_first(self) -> None:
        """Listen, and load what serves only when somebody connects; raise `Unready` where the port can't be had."""
        async with self._lock:
            if self._socket is None:
                listener = self._open()
                asyncio.get_running_loop().add_reader(listener, self._serve, listener)

    @property
    def is_serving(self) -> bool:
        """Whether what serves is loaded."""
        return self._serving is not None

    def _open(self) -> socket.socket:
        self._socket = self._bind()
        port = self._socket.getsockname()[1]
        self._endpoints.set_site(self._site(port))
        log.info("web endpoints answer at %s (port %d)", self._endpoints.site.origin, port)
        return self._socket

    def _serve(self, listener: socket.socket) -> None:
        if self._serving is None:
            asyncio.get_running_loop().remove_reader(listener)
            self._begin(listener)

    def _bind(self) -> socket.socket:
        settings = self._settings
        if settings.port is not None:
            return self._listen(settings.port)
        # The same port as in an earlier life, so that URLs stay.
        kept = self._state_dir / "http_port"
        with contextlib.suppress(OSError, ValueError, Unready):
            return self._listen(int(kept.read_text()))
        try:
            found = self._listen(DEFAULT_PORT)
        except Unready:
            found = self._listen(0)
        kept.write_text(f"{found.getsockname()[1]}\n")
        return found

    def _listen(self, port: int) -> socket.socket:
        host = self._settings.host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            raise Unready(
                f"web endpoints can't be served at {host}:{port}: {error.strerror or error}; "
                "set WHERRY_HTTP_PORT (and WHERRY_HTTP_HOST) to what is free, and restart the service"
            ) from None
        listener.setblocking(False)
        return listener

    def _begin(self, listener: socket.socket) -> None:
        # Loaded only here: a service without web endpoints starts without.
        import uvicorn  # noqa: PLC0415 - start-up cost: 26 ms and 1.7 MiB, only with web endpoints

        from wherry_service.ingress.protocol import BoundedHttp, BoundedWebSocket  # noqa: PLC0415 - start-up cost: 25 ms and 1.9 MiB, likewise
        from wherry_service.ingress.results import Results  # noqa: PLC0415 - start-up cost: as above
        from wherry_service.ingress.router import WebRouter  # noqa: PLC0415 - start-up cost: as above

        settings = self._settings
        self._results = Results(self._store, self._blobs, self._exchanges)
        gate = WebRouter(
            self._endpoints,
            settings,
            self._exchanges,
            self._results,
            self._auth,
            self._refusals,
            self._sessions,
            self._by_query,
            self._tunnels,
            self._requests,
            self._health,
            self.own,
            self.traffic,
        )
        protocol = type(
            "Http",
            (BoundedHttp,),
            {
                "max_head_bytes": settings.max_head_bytes,
                "head_timeout_s": settings.head_timeout_s,
                "refusals": self._refusals,
            },
        )
        config = uvicorn.Config(
            gate,
            http=protocol,
            ws=BoundedWebSocket,
            ws_max_size=16 << 20,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(settings.keep_alive_s),
            timeout_graceful_shutdown=CLOSE_WITHIN_S,
        )
        # What it warns of are malformed requests; `BoundedHttp` says whose, and why.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        config.load()
        self._config = config
        self._server = _Server(config)
        self._serving = asyncio.ensure_future(self._server.serve([listener]))

    def from_inside(
        self, environment: Callable[[], str], reaches: Callable[[str], Awaitable[bool]]
    ) -> Callable[[], asyncio.Protocol]:
        """Return what makes the protocol of one container's connections: its code reaches its environment's endpoints.

        `environment` tells which that is; it raises `ServiceError` where the container belongs to none any more.
        `reaches` tells whether it may use the ports of a sandbox or container, by that one's id.
        """
        is_open: set[asyncio.Protocol] = set()
        made: list[Any] = []

        def connect() -> asyncio.Protocol:
            if self._server is None or len(is_open) >= MAX_FROM_INSIDE:
                return _Refusing()
            if not made:
                config = copy.copy(self._config)
                config.loaded_app = self._inside(config.loaded_app, environment, reaches)
                made.extend((config, _counting(config.http_protocol_class, is_open)))
            config, protocol = made
            return protocol(config=config, server_state=self._server.server_state, app_state={})  # type: ignore[no-any-return]

        return connect

    def _inside(self, app: Any, environment: Callable[[], str], reaches: Callable[[str], Awaitable[bool]]) -> Any:
        from wherry_service.ingress.heads import HOME, REACHES  # noqa: PLC0415 - start-up cost: as above

        async def from_inside(scope: dict[str, Any], receive: Any, send: Any) -> None:
            try:
                home = environment()
            except ServiceError:
                home = ""
            # Of the socket's own place nobody is told.
            place = {"client": ("127.0.0.1", 0), "server": ("localhost", self._endpoints.site.port)}
            await app({**scope, **place, HOME: home, REACHES: reaches}, receive, send)

        return from_inside

    async def close(self) -> None:
        """Stop listening; open requests get a moment."""
        if self._serving is None:
            if self._socket is not None:
                asyncio.get_running_loop().remove_reader(self._socket)
                self._socket.close()
            return
        self._server.should_exit = True
        await asyncio.gather(self._serving, return_exceptions=True)
        self._refusals.close()
        self._requests.close()
        if self._results is not None:
            await self._results.close()


class _Refusing(asyncio.Protocol):
    """Closes what connects."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _counting(kind: Any, is_open: set[asyncio.Protocol]) -> Any:
    class Counted(kind):  # type: ignore[misc]
        """Is known while its connection is open, also as a websocket's, whose protocol is another."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            is_open.add(self)
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            is_open.discard(self)
            super().connection_lost(exc)

        def handle_websocket_upgrade(self) -> None:
            super().handle_websocket_upgrade()
            socket_protocol = self.transport.get_protocol()
            lost = socket_protocol.connection_lost

            def connection_lost(exc: Exception | None) -> None:
                is_open.discard(self)
                lost(exc)

            socket_protocol.connection_lost = connection_lost

    return Counted


def _Server(config: Any) -> Any:
    import uvicorn  # noqa: PLC0415 - start-up cost: 26 ms and 1.7 MiB, only with web endpoints

    class InProcess(uvicorn.Server):
        """The process is not its own: signals are the service's."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return InProcess(config)
