"""What a websocket's client can have the ingress hold, frame by frame."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from wherry_service.ingress.protocol import PIECE_BYTES, BoundedWebSocket

HEAD = (
    b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n"
)
TEXT, PING = 1, 9


class PlayedTransport(asyncio.Transport):
    """A client that reads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.paused = False
        self.closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: Any) -> None:
        self.written += len(data)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, packed: bool = False) -> bytes:
    """A client's frame, with a mask that changes nothing."""
    length = bytes([128 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return bytes([fin << 7 | packed << 6 | opcode]) + length + bytes(4) + data


def play(work: Callable[[BoundedWebSocket, PlayedTransport], Awaitable[None]]) -> None:
    """Do something with a websocket whose app does nothing by itself."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    async def main() -> None:
        config = uvicorn.Config(app, ws=BoundedWebSocket, ws_max_size=16 << 20, lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        socket, transport = BoundedWebSocket(config, state, {}), PlayedTransport()
        socket.connection_made(transport)
        socket.data_received(HEAD)
        while not socket.handshake_complete:
            await asyncio.sleep(0)
        await work(socket, transport)
        socket.stop_keepalive()
        for task in state.tasks:
            task.cancel()

    asyncio.run(main())


def test_frames_of_nothing_take_no_room_and_a_message_of_many_is_whole() -> None:
    async def work(socket: BoundedWebSocket, transport: PlayedTransport) -> None:
        socket.data_received(frame(TEXT, b"a", fin=False))
        for _ in range(100):
            socket.data_received(frame(0, fin=False) * 100)
        assert len(socket.frames) == 1
        socket.data_received(frame(0, b"b", fin=False) + frame(0, b"c"))
        assert await socket.receive() == {"type": "websocket.receive", "text": "abc"}
        socket.data_received(frame(2, b"a", fin=False) + frame(0, b"b"))
        message: Any = await socket.receive()
        assert (message["bytes"], type(message["bytes"])) == (b"ab", bytes)

    play(work)


def test_who_reads_nothing_gets_no_answers_to_its_pings() -> None:
    async def work(socket: BoundedWebSocket, transport: PlayedTransport) -> None:
        before = transport.written
        socket.data_received(frame(PING, b"x"))
        assert transport.written == before + 3
        socket.pause_writing()
        socket.data_received(frame(PING, b"x" * 125) * 1000)
        assert transport.written == before + 3
        socket.resume_writing()
        socket.data_received(frame(PING, b"y"))
        assert transport.written == before + 6

    play(work)


def test_messages_that_came_at_once_are_read_when_those_before_them_are_taken() -> None:
    async def work(socket: BoundedWebSocket, transport: PlayedTransport) -> None:
        socket.data_received(b"".join(frame(TEXT, b"%05d" % number) for number in range(20_000)))
        assert transport.paused
        assert socket.queue.qsize() <= PIECE_BYTES // len(frame(TEXT, b"00000")) + 1
        for number in range(20_000):
            message: Any = await socket.receive()
            assert message["text"] == f"{number:05}"
        assert not transport.paused

    play(work)


def test_what_is_packed_small_is_not_unpacked_all_at_once() -> None:
    async def work(socket: BoundedWebSocket, transport: PlayedTransport) -> None:
        packer = zlib.compressobj(9, zlib.DEFLATED, -12)
        packed = packer.compress(bytes(4 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH)
        message = frame(TEXT, packed[:-4], packed=True)
        socket.data_received(message * 50)
        assert 0 < socket.queue.qsize() <= PIECE_BYTES // len(message) + 1
        assert transport.paused
        for _ in range(50):
            got: Any = await socket.receive()
            assert len(got["text"]) == 4 << 20
        assert socket.queue.empty()

    play(work)
