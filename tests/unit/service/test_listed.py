"""The network of sandboxes with lists: what its rules say, and that no sandbox is there without them."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from wherry_service.engines.engine import EngineError
from wherry_service.engines.firewall import METADATA, Firewall, Place
from wherry_service.engines.listed import Listed, ListedNetwork, ListedRules, may_pass
from wherry_service.engines.network import NetworkSettings, OwnNetwork
from wherry_service.node.sandbox import Outbound


class World:
    """An engine's networks, and the host's rules."""

    def __init__(self, tmp_path: Path, settings: NetworkSettings | None = None) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.answer = (0, "1", "")
        self.scripts: list[str] = []
        self.taken: dict[str, Any] = {}
        (tmp_path / "state").mkdir(exist_ok=True)
        self.network = ListedNetwork(
            settings or NetworkSettings(), "0123456789ab", tmp_path / "state", firewall=Firewall(self._run)
        )
        self.network.connect(self._ask)

    async def _ask(self, what: str, work: Callable[[Any], Any]) -> Any:
        return work(self)

    async def _run(self, script: str) -> tuple[int, str, str]:
        self.scripts.append(script)
        return self.answer

    def networks(self, filters: object) -> list[dict[str, Any]]:
        return list(self.rows.values())

    def create_network(self, name: str, ipam: Any = None, **options: Any) -> None:
        config = ipam["Config"][0] if ipam else {"Subnet": "192.168.64.0/29"}
        self.rows[name] = {
            "Name": name, "Id": name, "IPAM": {"Config": [config]}, "Containers": self.taken,
            "Options": options["options"], "Labels": options["labels"], "asked": ipam is not None,
        }  # fmt: skip

    def inspect_network(self, name: str) -> dict[str, Any]:
        return self.rows[name]

    def remove_network(self, name: str) -> None:
        del self.rows[name]

    @property
    def rules(self) -> str:
        return self.scripts[-1].partition("rules='")[2].partition("COMMIT\n'")[0]


def play(
    tmp_path: Path, scenario: Callable[[World], Coroutine[Any, Any, None]], settings: NetworkSettings | None = None
) -> None:
    async def main() -> None:
        await scenario(World(tmp_path, settings))

    asyncio.run(main())


def test_nothing_is_open_but_what_is_on_the_list_and_nothing_hides_what_no_list_opens() -> None:
    rules = ListedRules(
        "wh-l0",
        "l0",
        {"192.168.64.2": Listed(("0.0.0.0/0",)), "192.168.64.3": Listed(("10.1.0.0/16",), names=True, web=True)},
        4000,
        blocked=("10.1.9.0/24",),
    )  # fmt: skip
    lines = rules.restored().splitlines()
    beyond = [line for line in lines if line.startswith("-A WHERRY-FW-l0 ")]
    # What a sandbox begins is looked at packet by packet: an open connection is no excuse.
    assert beyond[0] == "-A WHERRY-FW-l0 -m conntrack --ctstate ESTABLISHED --ctdir REPLY -j RETURN"
    never = ["-o wh-l0", *(f"-d {network}" for network in (*METADATA, "10.1.9.0/24"))]
    assert beyond[1 : len(never) + 1] == [f"-A WHERRY-FW-l0 {what} -j REJECT" for what in never]
    assert beyond[len(never) + 1 :] == [
        "-A WHERRY-FW-l0 -s 192.168.64.2/32 -d 0.0.0.0/0 -j RETURN",
        "-A WHERRY-FW-l0 -s 192.168.64.3/32 -d 10.1.0.0/16 -j RETURN",
        "-A WHERRY-FW-l0 -j REJECT",
    ]
    to_host = [line for line in lines if line.startswith("-A WHERRY-IN-l0 ")]
    assert to_host[1:] == [
        "-A WHERRY-IN-l0 -s 192.168.64.3/32 -p udp -m udp --dport 4000 -j RETURN",
        "-A WHERRY-IN-l0 -s 192.168.64.3/32 -p tcp -m tcp --dport 4000 -j RETURN",
        "-A WHERRY-IN-l0 -j REJECT",
    ]
    turned = [line for line in lines if line.startswith("-A WHERRY-TO-l0 ")]
    assert turned[0] == "-A WHERRY-TO-l0 -s 192.168.64.3/32 -d 10.1.0.0/16 -p tcp -j RETURN"
    assert all("192.168.64.3/32" in line for line in turned)


def test_of_the_host_it_reaches_what_is_open_for_all_and_on_its_list() -> None:
    allowed = (Place("10.0.0.5/32", 5432), Place("10.7.0.0/16"))
    listed = {"192.168.64.2": Listed(("10.0.0.0/24",)), "192.168.64.3": Listed(("10.7.1.0/24",))}
    text = ListedRules("wh-l0", "l0", listed, allowed=allowed).restored()
    assert "-A WHERRY-IN-l0 -s 192.168.64.2/32 -d 10.0.0.5/32 -p tcp -m tcp --dport 5432 -j RETURN" in text
    # A list with less than the place opens none of it.
    assert "WHERRY-IN-l0 -s 192.168.64.3" not in text


def test_a_sandbox_is_admitted_with_its_rules_and_at_an_address_of_its_own(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.taken = {"x": {"IPv4Address": "192.168.64.2/29"}}
        first = await world.network.admit("sb-1", Listed(("10.0.0.0/8",)))
        assert first == "192.168.64.3", ".1 is the host's, .2 is somebody's"
        assert f"-s {first}/32 -d 10.0.0.0/8 -j RETURN" in world.rules
        second = await world.network.admit("sb-2", Listed())
        assert second == "192.168.64.4"
        assert f"-s {first}/32 -d 10.0.0.0/8 -j RETURN" in world.rules
        (row,) = world.rows.values()
        # Addresses may be asked for only in a subnet that was asked for.
        assert row["asked"]
        assert (row["Name"], row["Labels"]["wherry.kind"]) == ("wherry-0123456789ab-listed", "listed-network")
        assert row["Options"]["com.docker.network.bridge.name"] == "wh-l0123456789a"
        assert (world.network.owner_of(first), world.network.owner_of("192.168.64.9")) == ("sb-1", "")
        await world.network.leave("sb-1")
        assert first not in world.rules
        assert await world.network.admit("sb-3", Listed()) == first
        await world.network.admit("sb-4", Listed())
        await world.network.admit("sb-5", Listed())
        with pytest.raises(EngineError, match="no address left"):
            await world.network.admit("sb-6", Listed())

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("answer", "why"),
    [((3, "", "making rules needs root"), "needs root"), ((0, "0", ""), "load br_netfilter"), ((5, "", "bad"), "bad")],
)
def test_where_rules_cannot_be_held_none_is_admitted(tmp_path: Path, answer: tuple[int, str, str], why: str) -> None:
    async def scenario(world: World) -> None:
        world.answer = answer
        with pytest.raises(EngineError, match=why):
            await world.network.admit("sb-1", Listed(("10.0.0.0/8",)))
        world.answer = (0, "1", "")
        await world.network.admit("sb-2", Listed())
        assert "10.0.0.0/8" not in world.rules
        # Nor does a list change that can't be held.
        world.answer = answer
        with pytest.raises(EngineError, match=why):
            await world.network.change("sb-2", Listed(("0.0.0.0/0",)))
        world.answer = (0, "1", "")
        await world.network.admit("sb-3", Listed())
        assert "-d 0.0.0.0/0" not in world.rules

    play(tmp_path, scenario)


def test_the_next_life_holds_them_again(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.network.admit("sb-1", Listed(("10.0.0.0/8",)))
        later = World(tmp_path)
        later.rows = world.rows
        await later.network.change("sb-1", Listed(("10.0.0.0/8",)), "192.168.64.2")
        assert "-s 192.168.64.2/32 -d 10.0.0.0/8 -j RETURN" in later.rules
        assert await later.network.admit("sb-2", Listed()) == "192.168.64.3"

    play(tmp_path, scenario)


def test_those_of_services_that_are_gone_are_removed_also_where_none_is_needed(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        here = {"wherry.kind": "listed-network", "wherry.state_dir": str(tmp_path / "state")}
        gone = {**here, "wherry.state_dir": str(tmp_path / "gone")}
        for name, labels in (("wherry-here-listed", here), ("wherry-gone-listed", gone)):
            world.rows[name] = {"Name": name, "Id": name, "Labels": labels}
        other = OwnNetwork(
            NetworkSettings(), "abc", tmp_path / "state", firewall=Firewall(world._run), beside=world.network
        )
        other.connect(world._ask)
        world.version = lambda: {"Components": []}  # type: ignore[attr-defined]
        await other.name()
        assert set(world.rows) == {"wherry-here-listed", "wherry-abc"}

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("address", "passes"),
    [
        ("93.184.216.34", True),
        ("127.0.0.1", False),
        ("10.0.0.5", False),
        ("192.168.64.2", False),
        ("169.254.169.254", False),
        ("168.63.129.16", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
        ("224.0.0.1", False),
        ("100.64.0.1", False),
        ("8.8.8.8", False),
    ],
)
def test_a_name_that_leads_where_containers_are_kept_from_is_not_followed(address: str, passes: bool) -> None:
    assert may_pass(address, 443, (), ("8.8.8.0/24",), False) is passes
    assert not may_pass(address, 443, (), (), True), "the host's own"
    assert may_pass(address, 443, (Place("0.0.0.0/0", 443),), (), True), "the settings open it for all"
    assert not may_pass(address, 80, (Place("0.0.0.0/0", 443),), (), True)


def test_which_domains_are_on_a_list() -> None:
    outbound = Outbound((), ("example.com", "*.wild.org"))
    for domain in ("example.com", "EXAMPLE.com.", "a.wild.org", "a.b.Wild.org"):
        assert outbound.has(domain), domain
    for domain in ("", ".", "a.example.com", "wild.org", "awild.org", "example.com.evil", "example.org", ".wild.org."):
        assert not outbound.has(domain), domain
    assert Outbound((), ("*",)).has("anything")
    assert not Outbound(("0.0.0.0/0",)).has("anything")
    assert Outbound(("0.0.0.0/0",)).reaches_all
