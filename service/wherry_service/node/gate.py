"""What sandboxes with a list of domains are turned to: it answers for names, and connects to those on their lists.

It listens on the address that the sandboxes' bridge has on this host, where the kernel turns their TLS (port 443), HTTP
(80) and questions for names. It takes the server from the first bytes, looks the name up itself, and connects there:
where else a sandbox meant to connect is no matter. The name's owner says where it leads, so what that is gets judged
like what a container would reach by itself.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from wherry_service.errors import Rarely
from wherry_service.node.copying import copy
from wherry_service.node.first_words import MOST_BYTES, TooEarly, answer, question, request_host, server_name
from wherry_service.node.sandbox import Outbound

log = logging.getLogger(__name__)

WITHIN_S = 10.0
# Connections at once, of one sandbox and of all: each takes two of the files that the service may have open.
MAX_OF_ONE = 256
MAX_CONNECTIONS = 2000
# Questions that are passed on and not answered yet.
MAX_QUESTIONS = 256
_TLS, _HTTP, _NAMES = 443, 80, 53

Find = Callable[[str], tuple[str, Outbound] | None]
"""From a sandbox's address to its id and its list."""
MayPass = Callable[[str, int], bool]
"""Whether the service may connect to an address and port for a sandbox."""
Resolve = Callable[[str], Awaitable[list[str]]]
"""From a name to its IPv4 addresses; raises OSError."""


class Gate:
    """Connections and questions of sandboxes with lists of domains."""

    def __init__(self, find: Find, may_pass: MayPass, resolve: Resolve, upstream: Callable[[], str]) -> None:
        self._find = find
        self._may_pass = may_pass
        self._resolve = resolve
        # A name server for those that may reach everything; "": there is none.
        self._upstream = upstream
        self.address = ""
        self.port = 0
        self._server: asyncio.Server | None = None
        self._names: asyncio.DatagramTransport | None = None
        # By connection: whose it is, and the domain it is for.
        self._open: dict[asyncio.Task[Any], tuple[str, str]] = {}
        # Those that are passed on and not answered yet.
        self._questions: set[asyncio.Task[None]] = set()
        self._rarely = Rarely()

    async def listen(self, address: str) -> int:
        """Listen at an address of this host, on a port for both TCP and UDP; return it. Raises OSError."""
        if self.address == address and self._server is not None:
            return self.port
        self.close()
        server = await asyncio.start_server(self._serve, address, 0)
        port: int = server.sockets[0].getsockname()[1]
        try:
            names, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Names(self), local_addr=(address, port)
            )
        except BaseException:
            server.close()
            raise
        self._server, self._names, self.address, self.port = server, names, address, port
        return port

    def close(self) -> None:
        """Stop listening, and end what is open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._names is not None:
            self._names.close()
            self._names = None
        for task in [*self._open, *self._questions]:
            task.cancel()

    def cut(self, sandbox_id: str, outbound: Outbound | None) -> None:
        """End the connections of a sandbox to what is on its list no more; None: all."""
        for task, (owner, domain) in list(self._open.items()):
            if owner == sandbox_id and (outbound is None or not outbound.has(domain)):
                task.cancel()

    # Connections

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        found = self._find(str(writer.get_extra_info("peername")[0]))
        if found is None or not self._has_room(found[0]):
            writer.transport.abort()
            return
        self._open[task] = found[0], ""
        try:
            await self._carry(task, found[0], reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        except (OSError, TimeoutError, EOFError):
            writer.transport.abort()
        finally:
            del self._open[task]
            writer.close()

    def _has_room(self, sandbox_id: str) -> bool:
        own = sum(1 for owner, _ in self._open.values() if owner == sandbox_id)
        if own < MAX_OF_ONE and len(self._open) < MAX_CONNECTIONS:
            return True
        if self._rarely.may_tell(sandbox_id):
            log.warning("sandbox %s has %d connections to domains of its list: more are refused", sandbox_id, own)
        return False

    async def _carry(
        self, task: "asyncio.Task[Any]", sandbox_id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async with asyncio.timeout(WITHIN_S):
            domain, port, first = await _first_words(reader)
            domain = domain.lower().removesuffix(".")
        found = self._find(str(writer.get_extra_info("peername")[0]))
        if found is None or found[0] != sandbox_id or not found[1].has(domain):
            if self._rarely.may_tell(sandbox_id):
                log.info("sandbox %s was kept from %s, which is not on its list", sandbox_id, domain[:253])
            raise EOFError
        self._open[task] = sandbox_id, domain
        async with asyncio.timeout(WITHIN_S):
            to_reader, to_writer = await self._connect(domain, port)
        try:
            to_writer.write(first)
            async with asyncio.TaskGroup() as group:
                group.create_task(copy(reader, to_writer))
                group.create_task(copy(to_reader, writer))
        finally:
            to_writer.close()

    async def _connect(self, domain: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        error: Exception = OSError(f"{domain} has no address that a sandbox may reach")
        for address in await self._resolve(domain):
            if not self._may_pass(address, port):
                log.info("%s leads to %s, which sandboxes are kept from", domain, address)
                continue
            try:
                return await asyncio.open_connection(address, port)
            except OSError as failed:
                error = failed
        raise error

    # Names

    def asked(self, packet: bytes, peer: tuple[str, int], send: Callable[[bytes], None]) -> None:
        """Answer a question for a name, if it may be asked."""
        found = self._find(peer[0])
        about = question(packet)
        if found is None or about is None:
            return
        outbound = found[1]
        if outbound.reaches_all:
            # It could ask anyone.
            self._pass_on(packet, send)
            return
        send(answer(about, self.address, outbound.has(about.name)))

    def _pass_on(self, packet: bytes, send: Callable[[bytes], None]) -> None:
        server = self._upstream()
        if server and len(self._questions) < MAX_QUESTIONS:
            task = asyncio.ensure_future(_ask(packet, server, send))
            self._questions.add(task)
            task.add_done_callback(self._questions.discard)


class _Names(asyncio.DatagramProtocol):
    """The gate's questions."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._gate.asked(data, addr, lambda packet: self._transport.sendto(packet, addr))


async def _ask(packet: bytes, server: str, send: Callable[[bytes], None]) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, contextlib.suppress(OSError, TimeoutError):
        asking.setblocking(False)
        async with asyncio.timeout(WITHIN_S):
            await loop.sock_connect(asking, (server, _NAMES))
            await loop.sock_sendall(asking, packet)
            send(await loop.sock_recv(asking, 4096))


async def _first_words(reader: asyncio.StreamReader) -> tuple[str, int, bytes]:
    """Return the domain that a connection is for, its port, and what is to be sent there first; raise EOFError."""
    data = b""
    while len(data) < MOST_BYTES:
        more = await reader.read(MOST_BYTES - len(data))
        if not more:
            break
        data += more
        with contextlib.suppress(TooEarly):
            if data[:1] == b"\x16":
                domain = server_name(data)
                if domain is None:
                    break
                return domain, _TLS, data
            request = request_host(data)
            if request is None:
                break
            return request[0], _HTTP, request[1]
    raise EOFError


async def resolve(name: str) -> list[str]:
    """Return a name's IPv4 addresses, as this host finds them; raise OSError."""
    rows = await asyncio.get_running_loop().getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in rows]
