"""Connections over TCP over which nothing goes for long: sessions, logs that are followed, commands and shells."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from wherry._connection.transport.grpc import GrpcTransport
from wherry.exception import ConnectionError
from wherry_proto.messages import (
    ExecReply,
    ExecRequest,
    ExecStart,
    LogLine,
    LogLines,
    LogReadRequest,
    Message,
    SessionDown,
    SessionUp,
    Welcome,
)
from wherry_service.api.tcp import TcpServer
from wherry_service.settings import Settings

# The client asks as often as gRPC lets it, once a second, and nothing else goes over the connection meanwhile. By
# gRPC's own rule the service cuts off whoever asks a third time within 5 minutes.
PING_MS = 1000
QUIET_S = 4.6


class Open:
    """Implements `edge.Gate`: everyone may do all."""

    def knows(self, metadata: object) -> bool:
        return True

    def guard(self, name: str, handler: Any, metadata: object, peer: str) -> Any:
        return handler


async def session(requests: AsyncIterator[SessionUp]) -> AsyncIterator[SessionDown]:
    yield SessionDown(welcome=Welcome(protocol=1))
    await asyncio.sleep(QUIET_S)
    yield SessionDown(accepted=["in-1"])


async def logs(request: LogReadRequest) -> AsyncIterator[LogLines]:
    yield LogLines(lines=[LogLine(text="first")])
    await asyncio.sleep(QUIET_S)
    yield LogLines(lines=[LogLine(text="last")])


async def execs(requests: AsyncIterator[ExecRequest]) -> AsyncIterator[ExecReply]:
    yield ExecReply(started=True)
    await asyncio.sleep(QUIET_S)
    yield ExecReply(stdout=b"done")


class Served:
    """A service of a thread's own, with handlers that are quiet for a while."""

    def __init__(self, tmp_path: Path, least_ping_s: float) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = self._run(self._start(tmp_path, least_ping_s))

    async def _start(self, tmp_path: Path, least_ping_s: float) -> TcpServer:
        settings = Settings(listen="127.0.0.1:0", tls="off")
        server = TcpServer(settings, tmp_path, least_ping_s)
        await server.start({"Calls.Session": session, "Logs.Read": logs, "Execs.Run": execs}, Open())
        return server

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.port}"

    def close(self) -> None:
        self._run(self._server.stop(0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def connect(served: Served) -> GrpcTransport:
    options = (
        ("grpc.keepalive_time_ms", PING_MS),
        ("grpc.keepalive_timeout_ms", 15_000),
        # Else the third and later ones come a minute apart.
        ("grpc.http2.max_pings_without_data", 0),
    )
    return GrpcTransport(served.address, None, (), options)


def quietly(transport: GrpcTransport, kind: str) -> Iterator[Message]:
    if kind == "session":
        return iter(transport.session(iter([SessionUp()])))
    if kind == "logs":
        return transport.stream("Logs.Read", LogReadRequest())
    return iter(transport.exchange("Execs.Run", ExecRequest(start=ExecStart(args=["sleep"]))))


def test_quiet_streams_outlive_many_pings(tmp_path: Path) -> None:
    """Beside it, what the service's own default did to such clients: so this sees what it is to see."""
    served, strict = Served(tmp_path, least_ping_s=PING_MS / 2000), Served(tmp_path, least_ping_s=300.0)
    transports = [connect(served), connect(served), connect(served), connect(strict)]
    kinds = ["session", "logs", "exec", "exec"]

    def listen(transport: GrpcTransport, kind: str) -> int | str:
        try:
            return len(list(quietly(transport, kind)))
        except ConnectionError as error:
            return str(error)

    try:
        with ThreadPoolExecutor(4) as threads:
            *lived, cut = threads.map(listen, transports, kinds)
        assert lived == [2, 2, 2]
        # On a busy machine so few pings may leave in that time that even the strict one takes them: asked again then.
        again = iter(range(4))
        while cut == 2 and next(again, None) is not None:
            cut = listen(transports[-1], "exec")
        assert "Too many pings" in str(cut)
    finally:
        for transport in transports:
            transport.close()
        served.close()
        strict.close()
