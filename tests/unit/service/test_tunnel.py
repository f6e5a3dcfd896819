"""Tunnels: both directions, each to its own end, and what is not there."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import pytest

from wherry_service.node import tunnel as tunnels
from wherry_service.node.tunnel import Tunnel, anyone

LOCAL = "127.0.0.1"


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 20))


class Uses:
    def __init__(self) -> None:
        self.now = 0
        self.all = 0

    def begin(self) -> None:
        self.now += 1
        self.all += 1

    def end(self) -> None:
        self.now -= 1


async def local() -> str:
    return LOCAL


async def opened(serve: Any, uses: Uses) -> tuple[Tunnel, asyncio.Server]:
    server = await asyncio.start_server(serve, LOCAL, 0)
    tunnel = Tunnel(server.sockets[0].getsockname()[1], local, uses.begin, uses.end, anyone)
    await tunnel.open(LOCAL)
    return tunnel, server


def test_each_direction_ends_by_itself() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(data[::-1])
        writer.close()

    async def main() -> None:
        uses = Uses()
        tunnel, server = await opened(serve, uses)
        data = bytes(range(256)) * 8192
        reader, writer = await asyncio.open_connection(LOCAL, tunnel.host_port)
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == data[::-1]
        writer.close()
        while uses.now:
            await asyncio.sleep(0)
        assert uses.all == 1
        tunnel.close()
        server.close()

    run(main())


def test_nobody_listens_in_there() -> None:
    async def main() -> None:
        uses = Uses()
        server = await asyncio.start_server(lambda reader, writer: None, LOCAL, 0)
        free = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        tunnel = Tunnel(free, local, uses.begin, uses.end, anyone)
        await tunnel.open(LOCAL)
        reader, writer = await asyncio.open_connection(LOCAL, tunnel.host_port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        while uses.now:
            await asyncio.sleep(0)
        tunnel.close()

    run(main())


def test_closing_ends_what_is_open_and_frees_the_port() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> None:
        uses = Uses()
        tunnel, server = await opened(serve, uses)
        reader, writer = await asyncio.open_connection(LOCAL, tunnel.host_port)
        while not uses.now:
            await asyncio.sleep(0)
        tunnel.close()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        while uses.now:
            await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(LOCAL, tunnel.host_port)
        server.close()

    run(main())


def test_the_wanted_port_is_taken_again_if_it_is_free() -> None:
    async def main() -> None:
        uses = Uses()
        first = Tunnel(1, local, uses.begin, uses.end, anyone)
        await first.open(LOCAL)
        port = first.host_port
        second = Tunnel(1, local, uses.begin, uses.end, anyone)
        await second.open(LOCAL, port)
        assert second.host_port not in (0, port)
        first.close()
        third = Tunnel(1, local, uses.begin, uses.end, anyone)
        await third.open(LOCAL, port)
        assert third.host_port == port
        second.close()
        third.close()

    run(main())


def test_connections_beyond_the_most_are_refused_and_those_before_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tunnels, "MAX_CONNECTIONS", 3)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async def main() -> None:
        uses = Uses()
        tunnel, server = await opened(serve, uses)
        kept = [await asyncio.open_connection(LOCAL, tunnel.host_port) for _ in range(3)]
        for reader, writer in kept:
            writer.write(b"a")
            assert await reader.read(100) == b"a"
        for _ in range(5):
            late, refused = await asyncio.open_connection(LOCAL, tunnel.host_port)
            with contextlib.suppress(ConnectionError):
                assert await late.read() == b""
            refused.close()
            with contextlib.suppress(ConnectionError):
                await refused.wait_closed()
        assert uses.all == 3
        kept.pop()[1].close()
        while uses.now == 3:
            await asyncio.sleep(0)
        kept.append(await asyncio.open_connection(LOCAL, tunnel.host_port))
        for reader, writer in kept:
            writer.write(b"b")
            assert await reader.read(100) == b"b"
            writer.close()
        while uses.now:
            await asyncio.sleep(0)
        tunnel.close()
        server.close()

    run(main())
    assert caplog.text.count("has 3 connections: more are refused") == 1


def test_who_is_not_admitted_is_refused_and_uses_nothing() -> None:
    async def main() -> None:
        uses = Uses()
        asked: list[str] = []

        def nobody(address: str) -> bool:
            asked.append(address)
            return False

        tunnel = Tunnel(1, local, uses.begin, uses.end, nobody)
        await tunnel.open("127.0.0.1")
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.host_port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read(10) == b""
        writer.close()
        tunnel.close()
        assert asked == ["127.0.0.1"]
        assert uses.all == 0

    asyncio.run(main())
