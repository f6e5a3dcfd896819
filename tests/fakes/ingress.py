"""An ingress on a port of its own, with functions and sessions played by the test."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from wherry_proto.messages import Failure, Format, FunctionSpec, Output, Payload, WebKind, WebSpec
from wherry_service.apps.by_query import ByQuery
from wherry_service.apps.endpoints import Endpoints, Site, endpoints_of
from wherry_service.calls.exchange import Exchange, Refusal
from wherry_service.health import Health
from wherry_service.ingress.auth import StaticProxyAuth
from wherry_service.ingress.ingress import Ingress
from wherry_service.ingress.settings import HttpSettings
from wherry_service.ingress.tunnels import Tunnels
from wherry_service.node.tunnel_names import TunnelNames
from wherry_service.store.blobs import BlobStore
from wherry_service.store.database import Database
from wherry_service.store.web import WebStore

HOST = "wherry--app-f.localhost"


class PlayedContainer:
    """What a container has been sent; the rest of `node.NodeContainer` is not asked of it."""

    def __init__(self) -> None:
        self.frames: list[tuple[dict[str, Any], bytes]] = []

    def stream(self, input_id: str, header: dict[str, Any], part: bytes) -> None:
        self.frames.append((header, part))

    def size(self) -> int:
        return sum(len(part) for _, part in self.frames)


class PlayedSession:
    """A session, as far as the ingress asks."""

    def __init__(self, number: int) -> None:
        self.session_id, self.token = f"sd-{number}", f"token-{number}"
        self.container = PlayedContainer()
        self.num_requests = 0


class PlayedSessions:
    """Stands in for `ServerSessions`."""

    def __init__(self) -> None:
        self.alive: dict[str, PlayedSession] = {}
        self.idle_s: list[float] = []
        self.error: Exception | None = None

    async def start(self, function_id: str, idle_s: float) -> PlayedSession:
        if self.error is not None:
            raise self.error
        self.idle_s.append(idle_s)
        session = PlayedSession(len(self.idle_s))
        self.alive[session.token] = session
        return session

    def find(self, token: str, function_id: str) -> PlayedSession | None:
        return self.alive.get(token)

    def end(self, token: str, function_id: str) -> None:
        self.alive.pop(token, None)

    @contextlib.contextmanager
    def used(self, session: PlayedSession) -> Iterator[None]:
        session.num_requests += 1
        yield
        session.num_requests -= 1


class PlayedFunction:
    """Stands in for `Exchanges`: what is opened waits here for the test to answer."""

    def __init__(self) -> None:
        self.opened: asyncio.Queue[Exchange] = asyncio.Queue()
        self.refusal: Failure | None = None
        self.status = 0
        self.keys: list[bytes] = []
        self.containers: list[Any] = []
        self.closed: list[str] = []
        self.withdrawn: list[str] = []

    def open(self, exchange: Exchange, key: bytes = b"", container: Any = None) -> Refusal | None:
        self.keys.append(key)
        self.containers.append(container)
        if self.refusal is None:
            self.opened.put_nowait(exchange)
            return None
        return Refusal(self.refusal, self.status)

    def close(self, exchange: Exchange) -> None:
        self.closed.append(exchange.request_id)

    def withdraw(self, exchange: Exchange) -> None:
        self.withdrawn.append(exchange.request_id)

    async def next(self) -> tuple[Exchange, PlayedContainer]:
        exchange = await asyncio.wait_for(self.opened.get(), 5)
        container = PlayedContainer()
        exchange.attach(container)  # type: ignore[arg-type]
        return exchange, container


class NotedRequests:
    """Stands in for `RequestLog`: what it is told."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str, bytes, bool, int]] = []

    def note(
        self,
        app_id: str,
        function_id: str,
        method: str,
        raw_path: bytes,
        has_query: bool,
        status: int,
        exchange: Exchange | None,
        seconds: float,
    ) -> None:
        assert (app_id, function_id) == ("ap-1", "fu-1")
        assert seconds >= 0
        self.noted.append((method, exchange.request_id if exchange is not None else "", raw_path, has_query, status))

    def close(self) -> None:
        """Nothing is left."""


class World:
    def __init__(self, function: PlayedFunction, port: int, client: httpx.AsyncClient, ingress: Ingress) -> None:
        self.function = function
        self.ingress = ingress
        self.port = port
        self.client = client

    async def spoken(self, request: bytes) -> bytes:
        """Send bytes, and return all that comes until the ingress closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        heard = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return heard


def well() -> Health:
    """Return the health of a service that lacks nothing."""
    return Health({}, lambda: False)


def head_of(exchange: Exchange) -> dict[str, Any]:
    data = exchange.item.payload.data
    size = int.from_bytes(data[:4], "big")
    return json.loads(data[4 : 4 + size])  # type: ignore[no-any-return]


def answer(exchange: Exchange, body: bytes = b"fine", status: int = 200) -> None:
    head = json.dumps({"status": status, "headers": [["x", "y"]]}).encode()
    exchange.end(Output(payload=Payload(format=Format.WEB, data=len(head).to_bytes(4, "big") + head + body)))


def play(
    tmp_path: Path,
    work: Callable[[World], Awaitable[None]],
    web: WebSpec | None = None,
    sessions: "PlayedSessions | None" = None,
    requests: NotedRequests | None = None,
    health: Health | None = None,
    begin: Callable[[Ingress], Awaitable[None]] = Ingress.ready,
    **settings: Any,
) -> None:
    async def main() -> None:
        database = Database(f"sqlite:///{tmp_path / 'wherry.db'}")
        await asyncio.to_thread(database.begin)
        endpoints, function = Endpoints(Site()), PlayedFunction()
        spec = FunctionSpec(name="f", web=web or WebSpec(kind=WebKind.ASGI))
        endpoints.claim("ap-1", endpoints_of("ap-1", "app", "main", [("fu-1", spec)], ""))
        http = HttpSettings(port=0, **settings)
        ingress = Ingress(
            http,
            endpoints,
            function,  # type: ignore[arg-type]
            WebStore(database),
            BlobStore(tmp_path / "blobs"),
            tmp_path,
            StaticProxyAuth(http.proxy_tokens),
            ByQuery(),
            sessions or PlayedSessions(),  # type: ignore[arg-type]
            Tunnels(TunnelNames(tmp_path / "tunnels.key"), endpoints, {}),
            requests or NotedRequests(),  # type: ignore[arg-type]
            health or well(),
        )
        await begin(ingress)
        port = int(endpoints.url("fu-1").rpartition(":")[2])
        base = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=base, headers={"host": HOST}, trust_env=False) as client:
            await asyncio.wait_for(work(World(function, port, client, ingress)), 30)
        await ingress.close()
        database.close()

    asyncio.run(main())
