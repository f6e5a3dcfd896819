"""The gate: names and connections of what is on a sandbox's list pass, nothing else does."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from tests.unit.service.test_first_words import hello, packet
from wherry_service.node import gate as gate_module
from wherry_service.node.gate import Gate
from wherry_service.node.sandbox import Outbound


class World:
    """A gate on the loopback, a sandbox that asks from there, and a server that says what it was sent."""

    def __init__(self) -> None:
        self.outbound: Outbound | None = Outbound((), ("good.example", "bad.example"))
        self.addresses = {"good.example": ["127.0.0.1"], "bad.example": ["10.9.9.9"]}
        self.resolved: list[str] = []
        self.got: list[bytes] = []
        self.gate = Gate(self._find, self._may_pass, self._resolve, lambda: "")
        self.port = 0

    def _find(self, address: str) -> tuple[str, Outbound] | None:
        return ("sb-1", self.outbound) if self.outbound is not None else None

    def _may_pass(self, address: str, port: int) -> bool:
        assert port == self.port
        return address == "127.0.0.1"

    async def _resolve(self, name: str) -> list[str]:
        self.resolved.append(name)
        if name not in self.addresses:
            raise OSError("no such name")
        return self.addresses[name]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            self.got.append(data)
            writer.write(b"heard")
        writer.close()

    async def say(self, data: bytes) -> bytes:
        """Return what comes back for a connection that says this."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gate.port)
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(100), 5)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def ask(self, data: bytes, within_s: float = 5.0) -> bytes | None:
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        class Asking(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                answered.set_result(data)

        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            Asking, remote_addr=("127.0.0.1", self.gate.port)
        )
        transport.sendto(data)
        try:
            return await asyncio.wait_for(answered, within_s)
        except TimeoutError:
            return None
        finally:
            transport.close()


def play(monkeypatch: Any, scenario: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        server = await asyncio.start_server(world.serve, "127.0.0.1", 0)
        world.port = server.sockets[0].getsockname()[1]
        # The ports of TLS and of HTTP are root's.
        monkeypatch.setattr(gate_module, "_TLS", world.port)
        monkeypatch.setattr(gate_module, "_HTTP", world.port)
        await world.gate.listen("127.0.0.1")
        try:
            await scenario(world)
        finally:
            world.gate.close()
            server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*others, return_exceptions=True)
            # What they closed is closed in the loop's next rounds.
            for _ in range(5):
                await asyncio.sleep(0)

    asyncio.run(main())


def test_a_domain_of_the_list_is_reached_by_tls_and_by_http(monkeypatch: Any) -> None:
    async def scenario(world: World) -> None:
        said = hello("good.example")
        assert await world.say(said) == b"heard"
        assert await world.say(b"GET / HTTP/1.1\r\nHost: Good.example\r\n\r\n") == b"heard"
        assert world.got == [said, b"GET / HTTP/1.1\r\nHost: Good.example\r\nConnection: close\r\n\r\n"]

    play(monkeypatch, scenario)


def test_nothing_else_is_so_much_as_looked_up(monkeypatch: Any) -> None:
    async def scenario(world: World) -> None:
        for said in (
            hello("other.example"),
            hello(None),
            b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n",
            b"GET http://other.example/ HTTP/1.1\r\nHost: good.example\r\n\r\n",
            b"SSH-2.0-good.example\r\n\r\n",
            b"\x16" * 20_000,
            b"A" * 20_000,
        ):
            assert await world.say(said) == b"", said[:60]
        assert world.resolved == []
        world.outbound = None
        assert await world.say(hello("good.example")) == b"", "of no sandbox"
        assert (world.resolved, world.got) == ([], [])

    play(monkeypatch, scenario)


def test_a_name_that_leads_to_what_sandboxes_are_kept_from_is_not_followed(monkeypatch: Any) -> None:
    async def scenario(world: World) -> None:
        assert await world.say(hello("bad.example")) == b""
        world.addresses["bad.example"] = ["10.9.9.9", "127.0.0.1"]
        assert await world.say(hello("bad.example")) == b"heard", "the one that may be reached"

    play(monkeypatch, scenario)


def test_what_is_taken_off_the_list_ends(monkeypatch: Any) -> None:
    async def scenario(world: World) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.gate.port)
        writer.write(hello("good.example"))
        assert await reader.read(10) == b"heard"
        world.gate.cut("sb-2", None)
        world.gate.cut("sb-1", Outbound((), ("*.example",)))
        writer.write(b"more")
        assert await reader.read(10) == b"heard", "it is on both lists"
        world.gate.cut("sb-1", Outbound((), ("bad.example",)))
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(10), 5) == b""
        writer.close()

    play(monkeypatch, scenario)


def test_a_question_for_a_name_of_the_list_is_answered_with_the_gate_and_others_go_nowhere(monkeypatch: Any) -> None:
    async def scenario(world: World) -> None:
        known = await world.ask(packet("good.example"))
        assert known is not None
        assert known.endswith(bytes((127, 0, 0, 1)))
        for name in ("secret-data.attacker.example", "x.good.example"):
            unknown = await world.ask(packet(name))
            assert unknown is not None
            assert unknown[3] & 15 == 3
        # Nobody was asked, for either.
        assert world.resolved == []
        assert await world.ask(b"nonsense", 0.2) is None

    play(monkeypatch, scenario)


def test_a_sandbox_has_only_so_many_connections(monkeypatch: Any) -> None:
    async def scenario(world: World) -> None:
        monkeypatch.setattr(gate_module, "MAX_OF_ONE", 3)
        opened = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", world.gate.port)
            writer.write(hello("good.example"))
            assert await reader.read(10) == b"heard"
            opened.append(writer)
        assert await world.say(hello("good.example")) == b""
        for writer in opened:
            writer.close()

    play(monkeypatch, scenario)
