"""Ports of sandboxes at hosts of their own, and by tokens: requests there and back, and who is let in."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.exceptions

from tests.fakes.ingress import NotedRequests, PlayedFunction, PlayedSessions, well
from wherry_service.apps.by_query import ByQuery
from wherry_service.apps.endpoints import Endpoints, Site
from wherry_service.ids import new_id
from wherry_service.ingress import tunnel_requests
from wherry_service.ingress import tunnels as tunnels_module
from wherry_service.ingress.auth import StaticProxyAuth
from wherry_service.ingress.ingress import Ingress
from wherry_service.ingress.settings import HttpSettings
from wherry_service.ingress.tunnels import Tunnels
from wherry_service.node.tunnel import Target
from wherry_service.node.tunnel_names import TunnelNames
from wherry_service.store.blobs import BlobStore
from wherry_service.store.database import Database
from wherry_service.store.web import WebStore


class World:
    """An ingress with a domain, and one sandbox whose server says what it was asked."""

    def __init__(self, tunnels: Tunnels, names: TunnelNames) -> None:
        self.tunnels = tunnels
        self.names = names
        self.sandbox_id = new_id("sb")
        self.ingress: Any = None
        self.address = "127.0.0.1"
        self.runs = self.admits = True
        # Whether no list says who may connect.
        self.lists_none = True
        self.server_port = self.port = 0
        self.uses = 0
        self.asked: list[bytes] = []
        # What the server answers; {} is told what it was asked.
        self.response = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-A: b\r\n\r\nfine"

    def target(self, owner_id: str, port: int) -> Target | None:
        if owner_id != self.sandbox_id or not self.runs or port not in (0, self.server_port):
            return None

        async def address() -> str:
            if not self.address:
                await asyncio.sleep(60)
            return self.address

        def begin() -> None:
            self.uses += 1

        def end() -> None:
            self.uses -= 1

        return Target(owner_id, port, address, begin, end, lambda address: self.admits if address else self.lists_none)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if lengths:
            body = await reader.readexactly(int(lengths[0].partition(b":")[2]))
        elif b"transfer-encoding: chunked" in head:
            body = await reader.readuntil(b"0\r\n\r\n")
        self.asked.append(head + body)
        writer.write(self.response)
        await writer.drain()
        writer.close()

    @property
    def host(self) -> str:
        return f"{self.names.name(self.sandbox_id, self.server_port)}.apps.example.com"

    @property
    def connect_host(self) -> str:
        return f"{self.names.name(self.sandbox_id, 0)}.apps.example.com"

    async def get(self, host: str, path: str = "/", **options: Any) -> httpx.Response:
        headers = {"host": host, **options.pop("headers", {})}
        method = options.pop("method", "GET")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False) as client:
            return await client.request(method, path, headers=headers, **options)


def play(tmp_path: Path, work: Callable[[World], Awaitable[None]], domain: str = "apps.example.com") -> None:
    async def main() -> None:
        database = Database(f"sqlite:///{tmp_path / 'wherry.db'}")
        await asyncio.to_thread(database.begin)
        http = HttpSettings(port=0, domain=domain, scheme="https", public_port=443)
        endpoints, names = Endpoints(Site()), TunnelNames(tmp_path / "tunnels.key")
        owners: dict[str, Any] = {}
        tunnels = Tunnels(names, endpoints, owners)
        world = World(tunnels, names)
        owners |= {"sb": world.target, "co": lambda owner_id, port: None}
        stores = WebStore(database), BlobStore(tmp_path / "blobs"), tmp_path
        beside = StaticProxyAuth(()), ByQuery(), PlayedSessions(), tunnels, NotedRequests(), well()
        ingress = Ingress(http, endpoints, PlayedFunction(), *stores, *beside)  # type: ignore[arg-type]
        server = await asyncio.start_server(world.serve, "127.0.0.1", 0)
        world.server_port = server.sockets[0].getsockname()[1]
        await ingress.ready()
        world.ingress = ingress
        assert ingress._socket is not None
        world.port = ingress._socket.getsockname()[1]
        try:
            await asyncio.wait_for(work(world), 30)
        finally:
            await ingress.close()
            server.close()
            database.close()
        assert world.uses == 0

    asyncio.run(main())


def test_a_port_answers_at_its_host(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        assert world.tunnels.url(world.sandbox_id, world.server_port) == f"https://{world.host}"
        got = await world.get(world.host, "/a/b?c=d", headers={"Authorization": "Bearer theirs", "Cookie": "a=b"})
        assert (got.status_code, got.text, got.headers["x-a"]) == (200, "fine", "b")
        head = world.asked[0].decode()
        assert head.startswith("GET /a/b?c=d HTTP/1.1\r\n")
        assert f"host: {world.host}\r\n" in head
        # What is for who answers reaches it; what only a proxy may say is said by the ingress.
        assert "authorization: Bearer theirs\r\n" in head
        assert "x-forwarded-for: 127.0.0.1\r\n" in head
        got = await world.get(world.host, method="POST", content=b"x" * 100_000)
        assert world.asked[1].endswith(b"x" * 100_000)

        async def pieces() -> Any:
            for _ in range(3):
                yield b"piece"

        await world.get(world.host, method="POST", content=pieces())
        assert world.asked[2].count(b"piece") == 3
        assert world.asked[2].endswith(b"\r\n0\r\n\r\n")

    play(tmp_path, work)


@pytest.mark.parametrize(
    ("response", "status", "text"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, "abc"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", 201, ""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        (b"HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 404, "no"),
        (b"SSH-2.0-x\r\n", 502, "502 Bad Gateway: what answers there sent no HTTP response\n"),
        (b"", 502, "502 Bad Gateway: what answers there sent no HTTP response\n"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000, 502, "502 Bad Gateway: what answers there sent no HTTP response\n"),
        (b"HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\n", 502, "502 Bad Gateway: what answers there sent no HTTP response\n"),
    ],
)
def test_whatever_a_server_answers(tmp_path: Path, response: bytes, status: int, text: str) -> None:
    async def work(world: World) -> None:
        world.response = response
        got = await world.get(world.host)
        assert (got.status_code, got.text) == (status, text)

    play(tmp_path, work)


def test_a_response_that_breaks_off_is_no_whole_one(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        world.response = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
        with pytest.raises(httpx.RemoteProtocolError):
            await world.get(world.host)
        world.response = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
        assert (await world.get(world.host, method="HEAD")).status_code == 200

    play(tmp_path, work)


def test_names_that_nobody_was_told_lead_nowhere(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        name = world.host.partition(".")[0]
        guess = name[:-1] + ("a" if name[-1] != "a" else "b")
        other_port = name.replace(f"-{world.server_port}-", f"-{world.server_port + 1}-")
        for host in (
            f"{guess}.apps.example.com",
            f"{other_port}.apps.example.com",
            f"{name}.other.example.com",
            name,
        ):
            got = await world.get(host)
            assert got.status_code == 404, host
            assert not world.tunnels.knows(host)
        # By path no port is reached without a token.
        assert (await world.get("127.0.0.1", f"/{name}/")).status_code == 404
        assert world.asked == []
        assert world.tunnels.knows(world.host)
        world.runs = False
        assert (await world.get(world.host)).status_code == 404

    play(tmp_path, work)


def test_a_token_lets_in_and_says_whose_it_is(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        token = world.tunnels.token(world.sandbox_id, world.server_port, '{"user": "7"}')
        bearer = {"Authorization": f"Bearer {token}"}
        forged = {"X-Verified-User-Data": "admin", "X_Verified_User_Data": "admin"}
        got = await world.get(world.connect_host, "/x", headers={**bearer, **forged})
        assert got.text == "fine"
        got = await world.get(world.connect_host, f"/x?a=b&_wherry_connect_token={token}")
        got = await world.get(world.connect_host, "/x", headers={"Cookie": f"a=b; _modal_connect_token={token}"})
        # By path, for those who resolve no hosts.
        await world.get("127.0.0.1", f"/{world.connect_host.partition('.')[0]}/x", headers=bearer)
        assert len(world.asked) == 4
        for head in map(bytes.decode, world.asked):
            assert head.startswith(("GET /x HTTP/1.1", "GET /x?a=b HTTP/1.1"))
            assert head.lower().count("verified") == 1
            assert 'x-verified-user-data: {"user": "7"}\r\n' in head
        # An authorization that is the server's own, beside the token; a name that is written otherwise; two cookies.
        theirs = {"Authorization": "Bearer theirs", "Cookie": "c=d"}
        await world.get(world.connect_host, f"/x?a=b&_wherry_connect_tok%65n={token}", headers=theirs)
        assert b"authorization: Bearer theirs\r\n" in world.asked[4]
        assert b"cookie: c=d\r\n" in world.asked[4]
        assert world.asked[4].startswith(b"GET /x?a=b HTTP/1.1")
        many = {"Cookie": f"_modal_connect_token=wrong; _wherry_connect_token={token}; e=f"}
        await world.get(world.connect_host, "/x", headers=many)
        assert b"cookie: e=f\r\n" in world.asked[5]
        await world.get(world.connect_host, "/x", headers={"Cookie": f"_wherry_connect_token={token}"})
        assert b"cookie" not in world.asked[6].lower()
        # However it came, who answers is not told it, and so can't be whoever sent it.
        assert all(token.encode() not in head for head in world.asked)
        # At a port's own host nobody is verified.
        await world.get(world.host, headers=forged)
        assert "verified" not in world.asked[-1].decode().lower()

    play(tmp_path, work)


def test_who_has_no_token_is_refused(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        other = new_id("sb")
        token = world.tunnels.token(world.sandbox_id, world.server_port, "")
        said, _, code = token.partition(".")
        elsewhere = world.names.token(world.sandbox_id, world.server_port + 1, "").partition(".")[0]
        assert (await world.get(world.connect_host)).status_code == 401
        for wrong in (
            "nonsense",
            world.names.token(other, world.server_port, ""),
            f"{said}.{code[:-1]}",
            f"{elsewhere}.{code}",
            f"{said}.",
            ".",
            "é.x",
        ):
            headers = {"Authorization": f"Bearer {wrong}".encode()}
            got = await world.get(world.connect_host, headers=headers)
            assert got.status_code == 401, wrong
        assert world.asked == []
        # In another life of the service it is as good, with another key it is none.
        again = TunnelNames(world.names._path)
        assert again.read_token(world.sandbox_id, token) == (world.server_port, "")
        assert world.names._path.stat().st_mode & 0o777 == 0o600
        world.runs = False
        got = await world.get(world.connect_host, headers={"Authorization": f"Bearer {token}"})
        assert got.status_code == 404

    play(tmp_path, work)


def test_who_is_not_admitted_is_refused(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        world.admits = False
        assert (await world.get(world.host)).status_code == 403
        token = world.tunnels.token(world.sandbox_id, world.server_port, "")
        got = await world.get(world.connect_host, headers={"Authorization": f"Bearer {token}"})
        assert (got.status_code, world.asked) == (403, [])

    play(tmp_path, work)


@contextlib.asynccontextmanager
async def inside(world: World, path: Path, may: bool) -> AsyncIterator[httpx.AsyncClient]:
    """A client as code in a container is one, which may use the sandbox's ports or not."""

    async def reaches(owner_id: str) -> bool:
        assert owner_id == world.sandbox_id
        return may

    connect = world.ingress.from_inside(lambda: "main", reaches)
    server = await asyncio.get_running_loop().create_unix_server(connect, path=str(path))
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
        yield client
    server.close()


def test_code_in_a_container_reaches_the_ports_that_it_may(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        host = f"{world.host.partition('.')[0]}.localhost"
        url = world.tunnels.local_url(world.sandbox_id, world.server_port, "127.0.0.1")
        assert url.startswith(f"http://{host}:")
        bearer = {"Authorization": f"Bearer {world.tunnels.token(world.sandbox_id, world.server_port, '')}"}
        by_path = f"/{world.connect_host.partition('.')[0]}/x"
        async with inside(world, tmp_path / "web.sock", True) as client:
            assert (await client.get("/a", headers={"host": host})).text == "fine"
            assert (await client.get(by_path, headers={"host": "127.0.0.1", **bearer})).text == "fine"
            assert len(world.asked) == 2
            # Where the sandbox has a list of who may connect, no container is on it, whatever it says of itself.
            world.lists_none = False
            for said in ({}, {"x-forwarded-for": "10.0.0.1"}):
                assert (await client.get("/a", headers={"host": host, **said})).status_code == 403
        world.lists_none = True
        async with inside(world, tmp_path / "other.sock", False) as client:
            assert (await client.get("/a", headers={"host": host})).status_code == 404
            assert (await client.get(by_path, headers={"host": "127.0.0.1", **bearer})).status_code == 404
        assert len(world.asked) == 2

    play(tmp_path, work, domain="localhost")


def test_a_web_socket_from_a_container_is_judged_alike(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        async def echo(socket: websockets.asyncio.server.ServerConnection) -> None:
            async for message in socket:
                await socket.send(message)

        async with websockets.asyncio.server.serve(echo, "127.0.0.1", 0) as server:
            world.server_port = next(iter(server.sockets)).getsockname()[1]
            url = f"ws://{world.host.partition('.')[0]}.localhost/"
            paths = [str(tmp_path / name) for name in ("web.sock", "other.sock")]
            async with inside(world, tmp_path / "web.sock", True), inside(world, tmp_path / "other.sock", False):
                async with websockets.asyncio.client.unix_connect(paths[0], url) as socket:
                    await socket.send("heard")
                    assert await socket.recv() == "heard"
                with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
                    await websockets.asyncio.client.unix_connect(paths[1], url)
                assert refused.value.response.status_code == 404

    play(tmp_path, work, domain="localhost")


@pytest.mark.parametrize("domain", ["localhost", "192.0.2.7", "apps.example.com"])
def test_an_address_is_no_domain(tmp_path: Path, domain: str) -> None:
    async def work(world: World) -> None:
        url = world.tunnels.url(world.sandbox_id, 8000)
        local = world.tunnels.local_url(world.sandbox_id, 8000, "127.0.0.1")
        connect = world.tunnels.connect_url(world.sandbox_id)
        if domain == "apps.example.com":
            assert (url[:16], local) == ("https://tunnel--", "")
            assert connect.endswith(".apps.example.com")
            return
        # Nobody resolves a host below an address.
        assert url == ""
        assert urlsplit(local).hostname == f"{world.names.name(world.sandbox_id, 8000)}.localhost"
        assert urlsplit(connect).hostname == domain.replace("localhost", "127.0.0.1")
        # What listens for other machines is what code hands on.
        assert world.tunnels.local_url(world.sandbox_id, 8000, "0.0.0.0") == ""

    play(tmp_path, work, domain=domain)


def test_where_nobody_listens_that_is_said(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        token = world.tunnels.token(world.sandbox_id, 1, "")
        got = await world.get(world.connect_host, headers={"Authorization": f"Bearer {token}"})
        assert (got.status_code, got.text) == (502, "502 Bad Gateway: nothing listens on port 1 there\n")

    play(tmp_path, work)


# No answer at all, and what is no refusal: the address of everybody.
@pytest.mark.parametrize("address", ["", "255.255.255.255"])
def test_where_nothing_arrives_that_is_said_and_not_that_nobody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(tunnel_requests, "CONNECT_WITHIN_S", 0.3)

    async def work(world: World) -> None:
        world.address = address
        got = await world.get(world.host)
        text = (
            f"502 Bad Gateway: port {world.server_port} there is out of the service's reach: {tunnel_requests.NO_WAY}\n"
        )
        assert (got.status_code, got.text) == (502, text)

    play(tmp_path, work)


def test_a_sandbox_answers_only_so_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        monkeypatch.setattr(tunnels_module, "MAX_OF_ONE", 0)
        assert (await world.get(world.host)).status_code == 503

    play(tmp_path, work)


def test_web_sockets_go_both_ways(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        heads: list[Any] = []

        async def echo(socket: websockets.asyncio.server.ServerConnection) -> None:
            assert socket.request is not None
            heads.append((socket.request.path, dict(socket.request.headers)))
            async for message in socket:
                await socket.send(message)
                if message == "bye":
                    await socket.close(4001, "as told")

        async with websockets.asyncio.server.serve(echo, "127.0.0.1", 0, subprotocols=["p"]) as server:  # type: ignore[list-item]
            world.server_port = next(iter(server.sockets)).getsockname()[1]
            token = world.tunnels.token(world.sandbox_id, world.server_port, "seven")
            async with websockets.asyncio.client.connect(
                f"ws://{world.connect_host}:{world.port}/a?b=c&_wherry_connect_token={token}",
                host="127.0.0.1",
                subprotocols=["q", "p"],  # type: ignore[list-item]
                proxy=None,
            ) as socket:
                assert socket.subprotocol == "p"
                for message in ("text", b"bytes", "x" * 200_000):
                    await socket.send(message)
                    assert await socket.recv() == message
                assert world.uses == 1
                await socket.send("bye")
                assert await socket.recv() == "bye"
                with pytest.raises(websockets.exceptions.ConnectionClosed):
                    await socket.recv()
                assert (socket.close_code, socket.close_reason) == (4001, "as told")
            ((path, headers),) = heads
            assert path == "/a?b=c"
            assert {name.lower(): value for name, value in headers.items()}["x-verified-user-data"] == "seven"
        # Nobody listens any more; and without a token nobody is let in.
        for query, status in ((f"?_wherry_connect_token={token}", 502), ("", 401)):
            with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
                await websockets.asyncio.client.connect(
                    f"ws://{world.connect_host}:{world.port}/{query}", host="127.0.0.1", proxy=None
                )
            assert refused.value.response.status_code == status

    play(tmp_path, work)
