"""What strangers can make the TCP server do."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from wherry_proto import codec
from wherry_proto.messages import Message, ServerInfo
from wherry_service.api import edge, tcp
from wherry_service.api.tcp import TcpServer
from wherry_service.errors import Unauthenticated
from wherry_service.settings import Settings

INFO = "/wherry.v1.Server/Info"
TOKEN = (("wherry-token-id", "good"),)


class OneToken:
    """Implements `edge.Gate`: one token is good."""

    def guard(self, name: str, handler: Any, metadata: Mapping[str, str], peer: str) -> Any:
        async def serve(request: Any) -> Any:
            if not self.knows(metadata):
                raise Unauthenticated("no token")
            return await handler(request)

        return serve

    def knows(self, metadata: Mapping[str, str]) -> bool:
        return metadata.get("wherry-token-id") == "good"


async def answer(request: Message) -> ServerInfo:
    return ServerInfo(version="7")


def serve(tmp_path: Path, work: Callable[[int], Awaitable[None]], info: Any = answer) -> None:
    async def main() -> None:
        server = TcpServer(Settings(listen="127.0.0.1:0", tls="off"), tmp_path)
        await server.start({"Server.Info": info}, OneToken())
        try:
            await asyncio.wait_for(work(server.port), 60)
        finally:
            await server.stop(0)

    asyncio.run(main())


async def asked(port: int, data: bytes = b"", metadata: Any = TOKEN) -> bytes:
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        answer: bytes = await channel.unary_unary(INFO)(data, metadata=metadata)
        return answer


def test_the_requests_of_strangers_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counted(kind: Any, data: bytes) -> Any:
        read.append(len(data))
        return codec_deserialize(kind, data)

    codec_deserialize = codec.deserialize
    monkeypatch.setattr(edge.codec, "deserialize", counted)

    async def work(port: int) -> None:
        for metadata in ((), (("wherry-token-id", "bad"),)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await asked(port, b"x" * (32 << 20), metadata)
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert caught.value.details() == "no token"
        assert read == []
        assert codec_deserialize(ServerInfo, await asked(port)).version == "7"
        assert read == [0]

    serve(tmp_path, work)


def test_a_message_that_is_too_large_is_refused_and_the_next_answered(tmp_path: Path) -> None:
    async def work(port: int) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asked(port, b"x" * (edge.MESSAGE_LIMIT + 1))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert codec.deserialize(ServerInfo, await asked(port)).version == "7"

    serve(tmp_path, work)


def test_a_connection_has_so_many_requests_at_a_time_and_the_others_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "MAX_STREAMS", 20)
    open_now = most = 0

    async def info(request: Message) -> ServerInfo:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.02)
        open_now -= 1
        return ServerInfo(version="7")

    async def work(port: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary(INFO)

            async def ask() -> None:
                """Ask until it is answered, as the SDK does: one that came too soon is sent back."""
                while True:
                    try:
                        await call(b"", metadata=TOKEN)
                        return
                    except grpc.aio.AioRpcError as error:
                        assert error.code() == grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - the other end of a race

            await asyncio.gather(*(ask() for _ in range(200)))
        assert most == 20

    serve(tmp_path, work, info)


def _frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + body


def _text(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()


def test_streams_that_are_begun_and_reset_at_once_keep_nobody_from_being_answered(tmp_path: Path) -> None:
    head = b"".join(
        b"\0" + _text(name) + _text(value)
        for name, value in (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", INFO),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        )
    )

    def flood(port: int, count: int) -> int:
        sent = 0
        with socket.create_connection(("127.0.0.1", port), timeout=10) as own:
            own.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0))
            try:
                for number in range(count):
                    stream = 2 * number + 1
                    own.sendall(_frame(1, 4, stream, head) + _frame(3, 0, stream, struct.pack(">I", 8)))
                    sent += 1
            except OSError:
                pass  # the server has had enough of it
        return sent

    async def answers(port: int) -> bool:
        """Ask as the SDK does: gRPC pushes back, now and then at who has done nothing, and is asked again."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            return codec.deserialize(ServerInfo, await asked(port)).version == "7"
        return False

    async def work(port: int) -> None:
        floods = [asyncio.ensure_future(asyncio.to_thread(flood, port, 5000)) for _ in range(2)]
        answered = 0
        while not all(one.done() for one in floods) or not answered:
            answered += await answers(port)
        while not await answers(port):
            pass
        assert all(one.result() > 0 for one in floods)

    serve(tmp_path, work)
