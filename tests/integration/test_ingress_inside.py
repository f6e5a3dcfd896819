"""The ingress for code inside containers: the endpoints of its own environment, by a socket of its own."""

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.ingress import HOST, World, answer, head_of, play
from wherry_service.errors import NotFound
from wherry_service.ingress import ingress


async def anywhere(owner_id: str) -> bool:
    """Whether a container may use the ports of another: of any."""
    return True


@contextlib.asynccontextmanager
async def inside(world: World, path: Path, environment: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client as code in a container of that environment is one; "": its app has gone."""

    def where() -> str:
        if not environment:
            raise NotFound("app ap-9 does not exist or has stopped")
        return environment

    server = await asyncio.get_running_loop().create_unix_server(
        world.ingress.from_inside(where, anywhere), path=str(path)
    )
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    headers = {"host": HOST}
    async with httpx.AsyncClient(transport=transport, base_url="http://inside", headers=headers) as client:
        yield client
    server.close()


def test_an_endpoint_of_its_environment_answers(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        async with inside(world, tmp_path / "web.sock", "main") as client:
            asked = asyncio.ensure_future(client.get("/a", headers={"host": HOST}))
            exchange, _ = await world.function.next()
            head = head_of(exchange)
            # The path of the service's socket is nobody's business.
            assert (head["client"], head["server"][0]) == (["127.0.0.1", 0], "localhost")
            answer(exchange)
            assert (await asked).text == "fine"

    play(tmp_path, work)


@pytest.mark.parametrize("environment", ["other", ""])
@pytest.mark.parametrize("way", ["host", "path"])
def test_one_of_another_environment_is_as_if_it_were_not_there(tmp_path: Path, environment: str, way: str) -> None:
    async def work(world: World) -> None:
        async with inside(world, tmp_path / "web.sock", environment) as client:
            if way == "host":
                response = await client.get("/a", headers={"host": HOST})
            else:
                response = await client.get(f"/{HOST.partition('.')[0]}/a", headers={"host": "localhost"})
            assert response.status_code == 404
            assert world.function.opened.empty()
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.close()
        assert reader is not None

    play(tmp_path, work)


def test_code_in_a_container_is_no_proxy_whatever_is_trusted(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        async with inside(world, tmp_path / "web.sock", "main") as client:
            told = {"x-forwarded-for": "10.9.9.9", "x-forwarded-proto": "https", "x-real-ip": "10.9.9.9"}
            asked = asyncio.ensure_future(client.get("/a", headers={"host": HOST, **told}))
            exchange, _ = await world.function.next()
            head = head_of(exchange)
            answer(exchange)
            await asked
            assert (head["client"], head["scheme"]) == (["127.0.0.1", 0], "http")
            assert "10.9.9.9" not in str(head["headers"])

    play(tmp_path, work, trusted=(ipaddress.ip_network("127.0.0.0/8"),))


def test_a_websocket_of_another_environment_is_refused(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        connect = world.ingress.from_inside(lambda: "other", anywhere)
        server = await asyncio.get_running_loop().create_unix_server(connect, path=str(tmp_path / "web.sock"))
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "web.sock"))
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        writer.write(
            f"GET /ws HTTP/1.1\r\nhost: {HOST}\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n".encode()
        )
        assert (await asyncio.wait_for(reader.readline(), 10)).split()[1] == b"404"
        writer.close()
        server.close()

    play(tmp_path, work)


def test_one_container_has_only_so_many_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingress, "MAX_FROM_INSIDE", 2)

    async def work(world: World) -> None:
        path = str(tmp_path / "web.sock")
        connect = world.ingress.from_inside(lambda: "main", anywhere)
        server = await asyncio.get_running_loop().create_unix_server(connect, path=path)
        held = [await asyncio.open_unix_connection(path) for _ in range(3)]
        # The one too many is closed, and those before it are not.
        assert await asyncio.wait_for(held[2][0].read(), 10) == b""
        held[0][1].close()
        await held[0][1].wait_closed()
        while True:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET / HTTP/1.1\r\nhost: nowhere.localhost\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                if line := await asyncio.wait_for(reader.readline(), 10):
                    break
            writer.close()
        assert line.split()[1] == b"404"
        for _, one in (*held[1:], (reader, writer)):
            one.close()
        server.close()

    play(tmp_path, work)
