"""The frames API, spoken to by hand: what is right is answered, what is not is told, and others go on."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.calls import dispatcher_of, journal_of
from tests.fakes.host import host_of
from tests.fakes.node import FakeNode
from wherry_proto import rows
from wherry_proto.messages import (
    AppListRequest,
    BlobChunk,
    BlobGetRequest,
    BlobInfo,
    Hello,
    Message,
    ServerInfo,
    ServerInfoRequest,
    ServerStopRequest,
    SessionUp,
)
from wherry_service.api.local import LocalApi
from wherry_service.api.sessions import SessionApi
from wherry_service.calls.client import Clients
from wherry_service.errors import NotFound
from wherry_service.ids import new_id
from wherry_service.pools.pools import Pools
from wherry_service.store.blobs import BlobStore
from wherry_service.store.database import Database

LIMIT = 1 << 20


class World:
    """The API on a socket, with handlers that the tests know."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = str(tmp_path / "local.sock")
        self.database = Database(f"sqlite:///{tmp_path / 'test.db'}")
        self.database.begin()
        self.clients = Clients()
        blobs = BlobStore(tmp_path / "blobs")
        journal = journal_of(self.database, blobs)
        dispatcher = dispatcher_of(Pools(FakeNode(), host_of(4.0, 4096)), self.clients, journal)
        sessions = SessionApi(self.clients, journal, dispatcher, "sv-1")
        self.cancelled = asyncio.Event()
        self.peers: list[Peer] = []
        handlers: dict[str, Callable[[Any], Any]] = {
            "Server.Info": self._info,
            "Server.Stop": self._wait,
            "Blobs.Get": self._get,
            "Blobs.Put": self._put,
            "Apps.List": self._broken,
        }
        self.api = LocalApi(handlers, sessions, limit=LIMIT, max_connections=3)

    async def _info(self, request: ServerInfoRequest) -> ServerInfo:
        return ServerInfo(version="7", pid=1)

    async def _wait(self, request: Message) -> Message:
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError

    async def _get(self, request: BlobGetRequest) -> AsyncIterator[BlobChunk]:
        for number in range(3):
            yield BlobChunk(blob_id=request.blob_id, data=bytes([number]) * 3)
        raise NotFound("no more of it")

    async def _put(self, chunks: AsyncIterator[BlobChunk]) -> BlobInfo:
        size = 0
        async for chunk in chunks:
            # Slower than the client, so that what it sends has to wait.
            await asyncio.sleep(0)
            size += len(chunk.data)
        return BlobInfo(size=size)

    async def _broken(self, request: Message) -> Message:
        raise ZeroDivisionError("of our own")

    async def connect(self) -> "Peer":
        peer = Peer(*await asyncio.open_unix_connection(self.path))
        self.peers.append(peer)
        return peer

    async def ask(self, *frames: bytes) -> list[Any]:
        """Send frames on a connection of their own; return the headers that come until it is closed."""
        peer = await self.connect()
        peer.writer.write(b"".join(frames))
        return await peer.rest()


class Peer:
    """One connection, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def header(self) -> Any:
        async with asyncio.timeout(5):
            head, body = struct.unpack(">II", await self.reader.readexactly(8))
            header = json.loads(await self.reader.readexactly(head))
            await self.reader.readexactly(body)
            return header

    async def rest(self) -> list[Any]:
        found = []
        try:
            while True:
                found.append(await self.header())
        except (asyncio.IncompleteReadError, ConnectionError):
            self.writer.close()
            return found


def frame(header: Any, body: bytes = b"") -> bytes:
    head = json.dumps(header).encode()
    return struct.pack(">II", len(head), len(body)) + head + body


def with_row(kind: list[Any], message: Message) -> bytes:
    parts: list[bytes] = []
    return frame([*kind, rows.to_row(message, parts)], b"".join(parts))


INFO = with_row(["call", "Server.Info"], ServerInfoRequest())


def run(tmp_path: Path, scenario: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        world = World(tmp_path)
        server = await asyncio.get_running_loop().create_unix_server(world.api, path=world.path)
        try:
            await scenario(world)
            # Whatever came before, the next one is served.
            assert [header[0] for header in await world.ask(INFO)] == ["item", "end"]
        finally:
            for peer in world.peers:
                peer.writer.close()
            await asyncio.gather(*(peer.writer.wait_closed() for peer in world.peers), return_exceptions=True)
            server.close()
            world.database.close()

    asyncio.run(main())


def test_a_method_is_called_and_the_connection_ends(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        item, end = await world.ask(INFO)
        assert rows.from_row(ServerInfo, item[1], b"").version == "7"
        assert end == ["end"]

    run(tmp_path, scenario)


def test_items_stream_and_errors_follow_them(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        answer = await world.ask(with_row(["call", "Blobs.Get"], BlobGetRequest(blob_id="bl-1")))
        assert [header[0] for header in answer] == ["item"] * 3 + ["error"]
        assert answer[-1] == ["error", "NOT_FOUND", "no more of it"]

    run(tmp_path, scenario)


def test_an_upload_waits_for_its_reader(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        first = with_row(["call", "Blobs.Put"], BlobChunk(blob_id="bl-1", data=b"x" * 1000))
        more = with_row(["item"], BlobChunk(data=b"y" * 1000))
        item, _ = await world.ask(first, more * 500, frame(["end"]))
        assert rows.from_row(BlobInfo, item[1], b"").size == 501_000

    run(tmp_path, scenario)


def test_a_fault_of_our_own_is_told_without_its_stack_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(world: World) -> None:
        (error,) = await world.ask(with_row(["call", "Apps.List"], AppListRequest()))
        assert error[:2] == ["error", "INTERNAL"]
        assert "ZeroDivisionError: of our own; see its log" in error[2]
        assert "Traceback" not in error[2]

    run(tmp_path, scenario)
    assert "Apps.List failed" in caplog.text


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (frame(["call", "Server.Nothing", []]), "has no method 'Server.Nothing'"),
        (frame(["call", "Apps.Open", []]), "has no method 'Apps.Open'"),
        (frame(["dance"]), "unknown frame 'dance'"),
        # An upload of nothing: it was never answered.
        (frame(["end"]), "a frame 'end' came before any call"),
        (frame(["item", []]), "a frame 'item' came before any call"),
        (frame(["call"]), "no message of this service's"),
        (frame({"a": 1}), "no message of this service's"),
        (frame(7), "no message of this service's"),
        (frame(["call", "Server.Info", ["no", "such", "row"]]), "no message of this service's"),
        (frame(["call", "Server.Info", [1] * 100]), "no message of this service's"),
        (struct.pack(">II", 8, 0) + b"not json", "no message of this service's"),
        (struct.pack(">II", 200_000, 0) + b"[" * 200_000, "no message of this service's"),
        (struct.pack(">II", LIMIT + 1, 0), "no message of this service's"),
        (struct.pack(">II", 2, LIMIT + 1), "no message of this service's"),
        (with_row(["call", "Calls.Session"], SessionUp()), "a session begins with hello"),
    ],
)
def test_nonsense_is_told_and_ends_its_connection_alone(tmp_path: Path, sent: bytes, told: str) -> None:
    async def scenario(world: World) -> None:
        other = await world.connect()
        (error,) = await world.ask(sent)
        assert error[:2] == ["error", "INVALID_ARGUMENT"]
        assert told in error[2]
        other.writer.write(INFO)
        assert (await other.header())[0] == "item"
        other.writer.close()

    run(tmp_path, scenario)


def test_hanging_up_cancels_what_was_asked(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        peer = await world.connect()
        peer.writer.write(with_row(["call", "Server.Stop"], ServerStopRequest()))
        await peer.writer.drain()
        peer.writer.close()
        async with asyncio.timeout(5):
            await world.cancelled.wait()

    run(tmp_path, scenario)


def test_there_are_only_so_many_connections(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        peers = [await world.connect() for _ in range(3)]
        (error,) = await world.ask()
        assert error == ["error", "RESOURCE_EXHAUSTED", "there are 3 open connections: close some"]
        for peer in peers:
            peer.writer.close()
            await peer.writer.wait_closed()

    run(tmp_path, scenario)


def test_a_session_is_welcomed_ended_in_order_and_replaced_by_a_later_one(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        hello = with_row(["call", "Calls.Session"], SessionUp(hello=Hello(client_id=new_id("cl"), protocol=1)))
        first = await world.connect()
        first.writer.write(hello)
        assert (await first.header())[0] == "item"

        second = await world.connect()
        second.writer.write(hello)
        assert (await second.header())[0] == "item"
        assert await first.rest() == []

        second.writer.write(frame(["end"]))
        assert await second.rest() == [["end"]]

    run(tmp_path, scenario)
