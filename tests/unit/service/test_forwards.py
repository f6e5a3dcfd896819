"""Ports that containers open, and tokens for those of sandboxes: whose they are, how many, and what is refused."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.sandbox_node import House
from wherry_proto.messages import ContainerForward, ContainerForwardRequest, SandboxConnectTokenRequest
from wherry_service.api.guests import Guest
from wherry_service.api.sandboxes import SandboxApi
from wherry_service.errors import Exhausted, InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.node.forwards import MAX_FORWARDS, Forwards
from wherry_service.node.tunnel_names import TunnelNames


async def address(container_id: str) -> str:
    return "" if container_id == "co-blocked" else "127.0.0.1"


def test_a_container_has_so_many_open_and_each_until_it_is_left() -> None:
    async def main() -> None:
        forwards = Forwards(address, "127.0.0.1")
        opened = [forwards.opened("co-1", 8000 + number) for number in range(MAX_FORWARDS)]
        tunnels = [await one.__aenter__() for one in opened]
        assert all(tunnel.host_port for tunnel in tunnels)
        with pytest.raises(Exhausted, match="16 ports forwarded already"):
            await forwards.opened("co-1", 1).__aenter__()
        async with forwards.opened("co-2", 8000):
            assert forwards.target("co-2", 8000) is not None
        assert forwards.target("co-2", 8000) is None
        found = forwards.target("co-1", 8000)
        assert found is not None
        assert await found.address() == "127.0.0.1"
        assert forwards.target("co-1", 1) is None
        for one in opened:
            await one.__aexit__(None, None, None)
        assert forwards.target("co-1", 8000) is None
        with pytest.raises(InvalidRequest, match="has no network"):
            await forwards.opened("co-blocked", 8000).__aenter__()
        for port in (0, 65536):
            with pytest.raises(InvalidRequest, match="a port is from 1 to 65535"):
                await forwards.opened("co-1", port).__aenter__()
        assert forwards._open == {}

    asyncio.run(main())


def test_a_container_opens_ports_of_its_own_alone() -> None:
    asked: list[str] = []

    async def handler(request: ContainerForwardRequest) -> Any:
        asked.append(request.container_id)
        yield ContainerForward(host="h")

    async def main() -> None:
        guest = object.__new__(Guest)
        guest.container_id = "co-own"
        request = ContainerForwardRequest(container_id="co-other", port=8000)
        assert [answer.host async for answer in guest._forward(handler, request)] == ["h"]
        assert asked == ["co-own"]

    asyncio.run(main())


class Urls:
    """Plays the ingress."""

    def url(self, owner_id: str, port: int) -> str:
        return ""

    def connect_url(self, owner_id: str) -> str:
        return "http://here"

    def token(self, owner_id: str, port: int, metadata: str) -> str:
        return f"{port} {metadata}"


def test_what_is_no_token(tmp_path: Path) -> None:
    async def ready() -> None:
        """It listens."""

    async def main() -> None:
        house = House(tmp_path)
        api = SandboxApi(house.sandboxes, None, Urls(), ready)  # type: ignore[arg-type]
        open_one, blocked = await house.create(), await house.create(block_network=True)
        made = await api.create_connect_token(SandboxConnectTokenRequest(sandbox_id=open_one, port=80, user_data="a"))
        assert (made.url, made.token) == ("http://here", "80 a")
        for sandbox_id, port, data, said in (
            (blocked, 80, "", "has no network"),
            (open_one, 0, "", "port 0 is none"),
            (open_one, 65536, "", "port 65536 is none"),
            (open_one, 80, "a\r\nb: c", "printable ASCII"),
            (open_one, 80, "\u00e9", "printable ASCII"),
            (open_one, 80, "a" * 2049, "printable ASCII"),
        ):
            request = SandboxConnectTokenRequest(sandbox_id=sandbox_id, port=port, user_data=data)
            with pytest.raises(InvalidRequest, match=said):
                await api.create_connect_token(request)
        await house.sandboxes.terminate(open_one)
        with pytest.raises(NotFound):
            await api.create_connect_token(SandboxConnectTokenRequest(sandbox_id=open_one, port=80))
        await house.sandboxes.close("over")

    asyncio.run(main())


def test_names_are_hosts_and_the_same_in_the_next_life(tmp_path: Path) -> None:
    names = TunnelNames(tmp_path / "key")
    for owner_id in (new_id("sb"), new_id("co")):
        for port in (0, 1, 65535):
            name = names.name(owner_id, port)
            assert len(name) <= 63
            assert TunnelNames(tmp_path / "key").read(name) == (owner_id, port)
            assert TunnelNames(tmp_path / "other").read(name) is None
            assert names.read(name.upper()) is None
    assert names.read("tunnel--sb" + "0" * 26 + "-80-" + "a" * 16) is None
