"""The network of sandboxes that reach only what is on a list: a bridge of its own, on which nothing is open by itself.

Each sandbox has an address that is chosen here, so its rules hold before it starts. No sandbox can take another's: that
needs NET_ADMIN or NET_RAW. The rules look at what a sandbox begins, packet by packet: what is taken off a list ends at
once, open connections too. Addresses of the host and those that tell secrets are on no list.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry_service.engines.engine import EngineError
from wherry_service.engines.firewall import METADATA, Firewall, FirewallError, Place
from wherry_service.engines.network import NetworkSettings, OwnNetwork

if TYPE_CHECKING:
    import docker

KIND = "listed-network"
# What a sandbox with a list of domains is turned to the gate for: TLS, HTTP, names.
WEB_PORTS = (80, 443)
_PORT_OF_NAMES = 53


@dataclass(frozen=True, slots=True)
class Listed:
    """What one address may reach."""

    networks: tuple[str, ...] = ()
    # Whether the gate answers it for names; and for TLS and HTTP to places that are in no network of the list.
    names: bool = False
    web: bool = False


@dataclass(frozen=True, slots=True)
class ListedRules:
    """What holds on the bridge."""

    bridge: str
    key: str
    # By address.
    listed: Mapping[str, Listed] = field(default_factory=dict)
    # The gate's port on the bridge's own address; 0: there is none.
    gate: int = 0
    allowed: tuple[Place, ...] = ()
    blocked: tuple[str, ...] = ()
    turns: bool = True

    def restored(self) -> str:
        """Return the chains, as iptables-restore reads them: all change at once, or none."""
        to_host, beyond, turned = (f"WHERRY-{which}-{self.key}" for which in ("IN", "FW", "TO"))
        # Only answers to what the host began: a tunnel.
        answers = "-m conntrack --ctstate ESTABLISHED --ctdir REPLY -j RETURN"
        lines = ["*filter", f":{to_host} - [0:0]", f":{beyond} - [0:0]", f"-A {to_host} {answers}"]
        lines += [f"-A {beyond} {answers}", f"-A {beyond} -o {self.bridge} -j REJECT"]
        lines += [f"-A {beyond} -d {network} -j REJECT" for network in (*METADATA, *self.blocked)]
        nat = ["*nat", f":{turned} - [0:0]"]
        for address, listed in sorted(self.listed.items()):
            lines += [f"-A {beyond} -s {address}/32 -d {network} -j RETURN" for network in listed.networks]
            lines += [f"-A {to_host} -s {address}/32 {one}" for one in self._of_host(listed)]
            ports = [("udp", _PORT_OF_NAMES)] if listed.names else []
            if listed.web:
                ports += [("tcp", port) for port in WEB_PORTS]
                nat += [f"-A {turned} -s {address}/32 -d {network} -p tcp -j RETURN" for network in listed.networks]
            for kind in dict.fromkeys(kind for kind, _ in ports):
                lines.append(f"-A {to_host} -s {address}/32 -p {kind} -m {kind} --dport {self.gate} -j RETURN")
            for kind, port in ports:
                of_it = f"-A {turned} -s {address}/32 -p {kind} -m {kind} --dport {port}"
                nat.append(f"{of_it} -j REDIRECT --to-ports {self.gate}")
        lines += [f"-A {chain} -j REJECT" for chain in (to_host, beyond)]
        return "\n".join([*lines, "COMMIT", *nat, "COMMIT", ""])

    def _of_host(self, listed: Listed) -> list[str]:
        """Return how it reaches what the server's settings open for all, where that is on its list, too."""
        found = []
        for place in self.allowed:
            network = ipaddress.IPv4Network(place.network)
            if any(network.subnet_of(ipaddress.IPv4Network(one)) for one in listed.networks):
                kinds = ("tcp", "udp") if place.port else ("",)
                for kind in kinds:
                    port = f" -p {kind} -m {kind} --dport {place.port}" if kind else ""
                    found.append(f"-d {place.network}{port} -j RETURN")
        return found


class ListedNetwork(OwnNetwork):
    """One service's network of sandboxes with lists, and the kernel's rules for it. Made when the first is."""

    kind = KIND

    def __init__(
        self, settings: NetworkSettings, instance: str, state_dir: Path, firewall: Firewall | None = None
    ) -> None:
        super().__init__(settings, instance, state_dir, firewall=firewall)
        # An interface's name has 15 characters; "l" is in no instance's name.
        key = f"l{instance[:11]}"
        self._name = self._reference = f"wherry-{instance}-listed"
        self._listed: dict[str, Listed] = {}
        self._addresses: dict[str, str] = {}
        self._gate = 0
        self._rules: Any = ListedRules(f"wh-{key}", key)
        self.gateway = ""

    async def name(self) -> str:
        """Return the network, made if it is missing; raise `EngineError`, also where its rules can't be held."""
        async with self._lock:
            await self._ensure()
        return self._name

    async def gate_at(self, port: int) -> None:
        """Say where the gate listens, on the bridge's own address."""
        self._gate = port

    async def admit(self, sandbox_id: str, listed: Listed) -> str:
        """Return the address that a sandbox is to have, for which its list holds from here on; raise `EngineError`."""
        async with self._lock:
            await self._ensure()
            address = self._addresses[sandbox_id] = await self._free_address()
            self._listed[address] = listed
            try:
                await self._apply()
            except BaseException:
                del self._listed[address], self._addresses[sandbox_id]
                raise
        return address

    async def change(self, sandbox_id: str, listed: Listed, address: str = "") -> None:
        """Have another list hold for one that is there; `address`: of one of an earlier life. Raise `EngineError`.

        Where that can't be, the list of before holds.
        """
        async with self._lock:
            await self._ensure()
            address = self._addresses.setdefault(sandbox_id, address)
            before = self._listed.get(address)
            self._listed[address] = listed
            try:
                await self._apply()
            except BaseException:
                if before is None:
                    del self._listed[address], self._addresses[sandbox_id]
                else:
                    self._listed[address] = before
                raise

    async def leave(self, sandbox_id: str) -> None:
        """Forget a sandbox whose container is gone. Rules that can't be changed now go with the next change."""
        async with self._lock:
            address = self._addresses.pop(sandbox_id, "")
            if self._listed.pop(address, None) is not None and self._made:
                await self._hold()

    def owner_of(self, address: str) -> str:
        """Return the sandbox that has an address; "" for none."""
        return next((owner for owner, one in self._addresses.items() if one == address), "")

    async def _ensure(self) -> None:
        if not self._made:
            await self._make()
            row = await self._engine("look at the network", lambda client: client.inspect_network(self._name))
            self.gateway = _gateway_of(row)
            self._made = True

    async def _apply(self) -> None:
        """Have the rules hold, or raise: no sandbox with a list runs without them."""
        await self._renew_rules()
        try:
            holds = await self._firewall.apply(self._rules)
        except (FirewallError, OSError) as error:
            raise EngineError(f"a sandbox's list of what it may reach can't be held here: {error}") from error
        if not holds:
            raise EngineError(
                "a sandbox's list of what it may reach can't be held here, since this kernel does not show frames on a "
                "bridge to its rules: load br_netfilter (modprobe br_netfilter) and set "
                "net.bridge.bridge-nf-call-iptables to 1"
            )

    async def _renew_rules(self) -> None:
        rules = self._rules
        self._rules = ListedRules(
            rules.bridge,
            rules.key,
            dict(self._listed),
            self._gate,
            self.settings.allowed,
            self.settings.blocked,
        )

    async def _may_be_quick(self) -> bool:
        # The engine's own resolver asks the gate.
        return False

    async def _create(self, name: str) -> None:
        # With a subnet that the engine has chosen itself, but as if it had been asked for: only then a container may
        # ask for its address.
        await super()._create(name)

        def fix(client: "docker.APIClient") -> None:
            import docker.types  # noqa: PLC0415 - start-up cost: as in docker.py

            row = client.inspect_network(name)
            subnet = ipaddress.IPv4Network(row["IPAM"]["Config"][0]["Subnet"])
            client.remove_network(name)
            client.create_network(
                name,
                driver="bridge",
                options=row["Options"],
                labels=row["Labels"],
                check_duplicate=True,
                ipam=docker.types.IPAMConfig(
                    pool_configs=[docker.types.IPAMPool(subnet=str(subnet), gateway=str(subnet[1]))]
                ),
            )

        await self._engine("create the network", fix)

    async def _free_address(self) -> str:
        row = await self._engine("look at the network", lambda client: client.inspect_network(self._name))
        subnet = ipaddress.IPv4Network(row["IPAM"]["Config"][0]["Subnet"])
        taken = {one["IPv4Address"].partition("/")[0] for one in (row.get("Containers") or {}).values()}
        taken |= {*self._listed, self.gateway}
        for number in range(2, min(subnet.num_addresses - 1, 1 << 16)):
            if (address := str(subnet[number])) not in taken:
                return address
        raise EngineError("the network of sandboxes with lists has no address left: end others first")


def may_pass(address: str, port: int, allowed: Sequence[Place], blocked: Sequence[str], is_own: bool) -> bool:
    """Whether the gate, which is on the host, may connect there for a sandbox; `is_own`: it is the host's address.

    What a name stands for is for its owner to say: never may it be what a container is kept from.
    """
    found = ipaddress.IPv4Address(address)
    if any(found in ipaddress.IPv4Network(one.network) and one.port in (0, port) for one in allowed):
        return True
    if is_own or not found.is_global or found.is_multicast:
        return False
    return not any(found in ipaddress.IPv4Network(one) for one in (*METADATA, *blocked))


def _gateway_of(row: Mapping[str, Any]) -> str:
    config = row["IPAM"]["Config"][0]
    return str(config.get("Gateway") or ipaddress.IPv4Network(config["Subnet"])[1])
