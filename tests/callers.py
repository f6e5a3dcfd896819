"""Clients without the SDK, that send whatever a test wants and tell the status of the answer."""

import asyncio
import contextlib
import json
import struct
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio

from wherry_proto import codec, messages, rows, services
from wherry_service.frames import pack

# What an answer is called that does not come, and a connection that is closed without one.
LATE, CLOSED = "LATE", "CLOSED"
PARTS = struct.Struct(">II")

Answer = tuple[str, str, list[Any]]
"""A status by gRPC's names ("OK", ...), its text, and the messages before it."""


class GrpcCaller:
    """Calls over gRPC, as a token's holder or the service's own user."""

    def __init__(self, target: str, certificate: str = "", token_id: str = "", secret: str = "") -> None:
        self._metadata = [("wherry-token-id", token_id), ("wherry-token-secret", secret)] if token_id else []
        if certificate:
            credentials = grpc.ssl_channel_credentials(certificate.encode())
            self._channel = grpc.aio.secure_channel(target, credentials)
        else:
            self._channel = grpc.aio.insecure_channel(target)

    async def ask(self, method: str, sent: Sequence[Any], within_s: float = 5.0, stays: bool = False) -> Answer:
        """Call a method of any kind with these messages, and hear it to its end; `stays`: as if more were to come."""
        return await self.send(method, [codec.serialize(message) for message in sent], within_s, stays)

    async def send(self, method: str, sent: Sequence[bytes], within_s: float = 5.0, stays: bool = False) -> Answer:
        """Call a method with whatever bytes."""
        kind = services.METHODS[method]
        answer_class = getattr(messages, kind.response)
        call = self._channel.stream_stream(kind.path)(iter_of(sent, stays), metadata=self._metadata, timeout=within_s)
        found: list[Any] = []
        try:
            async for data in call:
                found.append(codec.deserialize(answer_class, data))
        except grpc.aio.AioRpcError as error:
            status = LATE if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED else error.code().name
            return status, error.details() or "", found
        return "OK", "", found

    async def close(self) -> None:
        await self._channel.close()


class FramesCaller:
    """Calls over frames, as a container or the service's own user."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def ask(self, method: str, sent: Sequence[Any], within_s: float = 5.0, stays: bool = False) -> Answer:
        """Call a method of any kind with these messages, and hear it to its end."""
        kind = services.METHODS[method]
        frames = [frame(["call", method], sent[0])]
        frames += [frame(["item"], message) for message in sent[1:]]
        if kind.client_stream and method != "Calls.Session" and not stays:
            frames.append(pack(b'["end"]', []))
        return await self.send(method, b"".join(frames), within_s)

    async def send(self, method: str, data: bytes, within_s: float = 5.0) -> Answer:
        """Send whatever bytes; hear the answer as that of the method."""
        reader, writer = await asyncio.open_unix_connection(self._path)
        found: list[Any] = []
        answer_class = getattr(messages, services.METHODS[method].response)
        try:
            async with asyncio.timeout(within_s):
                writer.write(data)
                while True:
                    head, body = PARTS.unpack(await reader.readexactly(8))
                    header = json.loads(await reader.readexactly(head))
                    parts = await reader.readexactly(body)
                    if header[0] == "item":
                        found.append(rows.from_row(answer_class, header[1], parts))
                    elif header[0] == "error":
                        return header[1], header[2], found
                    else:
                        return "OK", "", found
        except TimeoutError:
            return LATE, "", found
        except (asyncio.IncompleteReadError, ConnectionError):
            return CLOSED, "", found
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def close(self) -> None:
        """Each call has a connection of its own."""


def frame(header: list[Any], message: Any) -> bytes:
    """Return a frame that ends with a message's row."""
    parts: list[bytes] = []
    row = rows.to_row(message, parts)
    return pack(json.dumps([*header, row]).encode(), parts)


async def iter_of(sent: Sequence[bytes], stays: bool = False) -> Any:
    for data in sent:
        yield data
    if stays:
        await asyncio.get_running_loop().create_future()


def text_of(message: Any) -> bytes:
    """Return all that is in a message, to look for words in."""
    parts: list[bytes] = []
    row = rows.to_row(message, parts)
    return b"\0".join([json.dumps(row).encode(), *parts])
