"""What a client can make `wherry.sock` hold."""

import asyncio
import os
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
import uvloop

from wherry_proto import codec
from wherry_proto.messages import BlobChunk, Message, ServerInfo
from wherry_service.api import socket_edge
from wherry_service.api.socket_edge import SocketEdge

INFO = "/wherry.v1.Server/Info"
SESSION = "/wherry.v1.Calls/Session"
MIB = 1 << 20


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short one: the path of a Unix socket has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as folder:
        yield Path(folder)


def serve(folder: Path, work: Callable[[SocketEdge], Awaitable[None]], **limits: int) -> None:
    async def info(request: Message) -> ServerInfo:
        return ServerInfo(version="7")

    async def session(messages: AsyncIterator[Message]) -> AsyncIterator[Message]:
        async for _ in messages:
            yield ServerInfo()

    async def download(request: Message) -> AsyncIterator[Message]:
        for _ in range(64):
            yield BlobChunk(data=b"x" * MIB)

    async def main() -> None:
        edge = SocketEdge(folder, **limits)
        await edge.start({"Server.Info": info, "Calls.Session": session, "Blobs.Get": download})
        try:
            await asyncio.wait_for(work(edge), 60)
        finally:
            await edge.stop(0)
        assert edge.budget.used == 0
        assert not edge.connections
        assert list(folder.iterdir()) == []

    # With both loops: the service has uvloop's, which begins to read at another time.
    asyncio.run(main())
    uvloop.run(main())


async def asked(folder: Path, data: bytes = b"") -> bytes:
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"unix:{folder}/wherry.sock", options=options) as channel:
        answer: bytes = await channel.unary_unary(INFO)(data)
        return answer


def _frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + body


def _text(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()


HEAD = b"".join(
    b"\0" + _text(name) + _text(value)
    for name, value in (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", SESSION),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    )
)


def begin_many(folder: Path, count: int, size: int) -> int:
    """Begin messages of 60 MiB on streams of one connection; return how many bytes it took, less than 0 if closed."""
    sent = 0
    with socket.socket(socket.AF_UNIX) as own:
        own.settimeout(20)
        own.connect(str(folder / "wherry.sock"))
        own.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0))
        try:
            for number in range(count):
                stream = 2 * number + 1
                own.sendall(_frame(1, 4, stream, HEAD))
                left = size
                body = b"\0" + struct.pack(">I", 60 * MIB)
                while left > 0:
                    part = body + b"x" * (min(16384, left) - len(body))
                    own.sendall(_frame(0, 0, stream, part))
                    left -= len(part)
                    sent += len(part)
                    body = b""
            own.settimeout(1)
            while own.recv(65536):
                pass
        except TimeoutError:
            return sent
        except OSError:
            pass
    return -sent


def test_messages_that_never_end_are_bounded_for_each_connection(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(edge: SocketEdge) -> None:
        # Within gRPC's first window, beyond which it reads as it likes.
        got = await asyncio.to_thread(begin_many, folder, 3, 16384)
        assert got == 3 * 16384
        got = await asyncio.to_thread(begin_many, folder, 200, 16384)
        assert -200 * 16384 < got <= 0
        # Another is answered.
        assert codec.deserialize(ServerInfo, await asked(folder)).version == "7"

    serve(folder, work, max_connection_bytes=60 * 1024)
    assert any("the connection is closed" in record.message for record in caplog.records)


def test_all_connections_together_are_bounded_and_what_ends_gives_back(folder: Path) -> None:
    async def work(edge: SocketEdge) -> None:
        floods = [asyncio.to_thread(begin_many, folder, 3, 16384) for _ in range(8)]
        got = await asyncio.gather(*floods)
        assert any(one <= 0 for one in got)
        assert any(one > 0 for one in got)
        while edge.connections:
            await asyncio.sleep(0.01)
        assert edge.budget.used == 0
        assert codec.deserialize(ServerInfo, await asked(folder)).version == "7"

    serve(folder, work, max_bytes=150 * 1024)


def test_large_requests_and_answers_pass_and_count_for_nothing_afterwards(folder: Path) -> None:
    async def work(edge: SocketEdge) -> None:
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(f"unix:{folder}/wherry.sock", options=options) as channel:
            # A field that nobody knows, of nearly as many bytes as a message may have.
            for size in (0, 1, 60 * MIB):
                data = b"\xfa\x3f" + _varint(size) + b"x" * size
                assert codec.deserialize(ServerInfo, await channel.unary_unary(INFO)(data)).version == "7"
                assert edge.budget.used == 0
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(INFO)(b"x" * (65 * MIB))
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            chunks = [len(chunk) async for chunk in channel.unary_stream("/wherry.v1.Blobs/Get")(b"")]
            assert len(chunks) == 64
            answers = await asyncio.gather(*(channel.unary_unary(INFO)(b"") for _ in range(300)))
            assert len(answers) == 300
            assert edge.budget.used == 0

    serve(folder, work)


def _varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found += bytes((value & 127 | 128,))
        value >>= 7
    return found + bytes((value,))


def test_so_many_connections_and_no_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_edge, "MAX_CONNECTIONS", 20)

    def connect() -> socket.socket:
        own = socket.socket(socket.AF_UNIX)
        own.settimeout(10)
        own.connect(str(folder / "wherry.sock"))
        return own

    async def work(edge: SocketEdge) -> None:
        many = [await asyncio.to_thread(connect) for _ in range(20)]
        while len(edge.connections) < 20:
            await asyncio.sleep(0.01)
        with await asyncio.to_thread(connect) as one_more:
            assert await asyncio.to_thread(one_more.recv, 100) == b""
        many.pop().close()
        while len(edge.connections) > 19:
            await asyncio.sleep(0.01)
        assert codec.deserialize(ServerInfo, await asked(folder)).version == "7"
        for one in many:
            one.close()

    serve(folder, work)


def test_the_sockets_are_their_owners(folder: Path) -> None:
    async def work(edge: SocketEdge) -> None:
        for name in ("wherry.sock", "grpc.sock"):
            assert os.stat(folder / name).st_mode & 0o777 == 0o600

    serve(folder, work)
