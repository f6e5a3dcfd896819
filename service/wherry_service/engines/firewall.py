"""What containers may not reach: the host's own addresses, addresses that tell secrets, each other.

The rules are the kernel's (iptables), for one bridge alone. They say nothing of what other containers of the engine do.
"""

import asyncio
import ipaddress
import logging
import re
import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from wherry_service.errors import Unready

log = logging.getLogger(__name__)

# Clouds answer here with the host's own credentials: to anyone who asks from the host.
METADATA = ("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")
_PORT_OF_NAMES = 53
RUN_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A network, or one address; with a port, only that, over TCP and UDP."""

    network: str
    port: int = 0

    @classmethod
    def parse(cls, text: str, setting: str) -> "Place":
        """Return the place that "10.0.0.0/8" or "10.0.0.5:5432" names; raise `Unready` naming the setting."""
        match = re.fullmatch(r"([0-9.]+(?:/\d{1,2})?)(?::(\d{1,5}))?", text)
        try:
            network = ipaddress.IPv4Network(match[1] if match else text)
        except ValueError as error:
            raise Unready(
                f"{setting} has {text!r}: write an IPv4 address or network, with a port if only that is meant, such "
                f"as 10.0.0.5:5432 or 10.1.0.0/16 ({error})"
            ) from None
        port = int(match[2] or 0) if match else 0
        if port > 65535:
            raise Unready(f"{setting} has {text!r}: a port is at most 65535")
        return cls(str(network), port)


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for the containers on one bridge."""

    # The bridge's name as an interface; it ends in `key`, which names the chains.
    bridge: str
    key: str
    allowed: tuple[Place, ...] = ()
    # Ports of the host that are for everyone, containers among them.
    open_ports: tuple[int, ...] = ()
    name_servers: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    turns: bool = False

    def restored(self) -> str:
        """Return the chains, as iptables-restore reads them: both change at once, or neither."""
        to_host, beyond = self.chains
        lines = ["*filter", f":{to_host} - [0:0]", f":{beyond} - [0:0]"]
        for chain in self.chains:
            # What the host began: a tunnel, a health check.
            lines.append(f"-A {chain} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN")
            names = [Place(f"{address}/32", _PORT_OF_NAMES) for address in self.name_servers]
            for place in (*names, *self.allowed):
                lines += _allow(chain, place)
        lines += [f"-A {to_host} -p tcp -m tcp --dport {port} -j RETURN" for port in self.open_ports]
        lines.append(f"-A {to_host} -j REJECT")
        # From one container to another: frames on the bridge come by here too, where br_netfilter has them do so.
        lines.append(f"-A {beyond} -o {self.bridge} -j REJECT")
        lines += [f"-A {beyond} -d {network} -j REJECT" for network in (*METADATA, *self.blocked)]
        return "\n".join([*lines, "COMMIT", ""])

    @property
    def chains(self) -> tuple[str, str]:
        """The chain of what is for the host itself, and that of what goes beyond."""
        return f"WHERRY-IN-{self.key}", f"WHERRY-FW-{self.key}"


def _allow(chain: str, place: Place) -> list[str]:
    if not place.port:
        return [f"-A {chain} -d {place.network} -j RETURN"]
    kinds = ("tcp", "udp")
    return [f"-A {chain} -d {place.network} -p {kind} -m {kind} --dport {place.port} -j RETURN" for kind in kinds]


# Picks the back end whose tables the engine uses: there its chain for users is. A chain of this kind whose bridge has
# gone was left behind by a service that was killed.
_PICK = """
set -u
PATH=$PATH:/usr/sbin:/sbin
export PATH
tables=
for one in iptables iptables-legacy iptables-nft; do
    if $one -w 5 -n -L DOCKER-USER >/dev/null 2>&1; then tables=$one; break; fi
done
if [ -z "$tables" ]; then
    for one in iptables iptables-legacy iptables-nft; do
        if $one -w 5 -n -L FORWARD >/dev/null 2>&1; then tables=$one; break; fi
    done
fi
if [ -z "$tables" ]; then
    echo "no iptables that may be used: $(iptables -w 5 -n -L FORWARD 2>&1 | tail -n 1)" >&2
    exit 3
fi
six=ip6$(echo "$tables" | cut -c3-)
beyond=FORWARD
if $tables -w 5 -n -L DOCKER-USER >/dev/null 2>&1; then beyond=DOCKER-USER; fi
# Not /sys/class/net, which shows the network of whoever mounted it.
is_there() { grep -q "^ *$1:" /proc/net/dev; }
drop() { # drop PROGRAM KEY
    for chain in INPUT FORWARD DOCKER-USER; do
        $1 -w 5 -S "$chain" 2>/dev/null | grep -E -e "-i wh-$2 -j (WHERRY-|REJECT)" | sed 's/^-A/-D/' |
            while read -r rule; do $1 -w 5 $rule; done
    done
    for chain in WHERRY-IN-$2 WHERRY-FW-$2; do
        $1 -w 5 -F "$chain" 2>/dev/null && $1 -w 5 -X "$chain"
    done
    if $1 -w 5 -t nat -F WHERRY-TO-$2 2>/dev/null; then
        $1 -w 5 -t nat -D PREROUTING -i wh-$2 -j WHERRY-TO-$2 2>/dev/null
        $1 -w 5 -t nat -X WHERRY-TO-$2
    fi
    return 0
}
"""

_APPLY = """
if ! is_there $bridge; then
    echo "the engine's bridge $bridge is not among the interfaces here" >&2
    exit 4
fi
for other in $($tables -w 5 -S | sed -n 's/^-N WHERRY-IN-//p'); do
    if ! is_there wh-$other; then drop $tables "$other"; drop $six "$other" 2>/dev/null; fi
done
printf '%s' "$rules" | $tables-restore -w 5 --noflush || exit 5
hook() { $1 -w 5 -C "$2" -i $bridge -j "$3" 2>/dev/null || $1 -w 5 -I "$2" 1 -i $bridge -j "$3"; }
hook $tables INPUT WHERRY-IN-$key || exit 5
hook $tables $beyond WHERRY-FW-$key || exit 5
if [ -n "$turns" ]; then
    $tables -w 5 -t nat -C PREROUTING -i $bridge -j WHERRY-TO-$key 2>/dev/null ||
        $tables -w 5 -t nat -I PREROUTING 1 -i $bridge -j WHERRY-TO-$key || exit 5
fi
if [ -e /proc/net/if_inet6 ]; then
    hook $six INPUT REJECT && hook $six FORWARD REJECT || exit 5
fi
cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null || echo 0
"""

_REMOVE = """
drop $tables $key
drop $six $key 2>/dev/null
exit 0
"""


class FirewallError(Exception):
    """The rules can't be made; the message says why."""


Run = Callable[[str], Awaitable[tuple[int, str, str]]]
"""Runs a shell script in the engine's network, as root: its exit code, what it printed, its errors."""


class BridgeRules(Protocol):
    """What holds on one bridge, whichever it is."""

    @property
    def bridge(self) -> str:
        """The bridge's name as an interface."""

    @property
    def key(self) -> str:
        """What names its chains."""

    @property
    def turns(self) -> bool:
        """Whether some of what comes is turned to another place, by a chain of the table `nat`."""

    def restored(self) -> str:
        """Return the chains, as iptables-restore reads them."""


class Firewall:
    """The kernel's rules for one bridge."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def apply(self, rules: BridgeRules) -> bool:
        """Have the rules hold; whether also frames between containers meet them. Raises `FirewallError`."""
        script = _PICK + _variables(rules) + f"rules={shlex.quote(rules.restored())}\n" + _APPLY
        code, said, errors = await self._run(script)
        if code:
            raise FirewallError((errors.strip() or f"exit code {code}").splitlines()[-1])
        return said.split()[-1:] == ["1"]

    async def remove(self, rules: BridgeRules) -> None:
        """Take them away, if they are there; raises `FirewallError`."""
        code, _, errors = await self._run(_PICK + _variables(rules) + _REMOVE)
        if code:
            raise FirewallError((errors.strip() or f"exit code {code}").splitlines()[-1])


def _variables(rules: BridgeRules) -> str:
    turns = "1" if rules.turns else ""
    return f"bridge={shlex.quote(rules.bridge)}\nkey={shlex.quote(rules.key)}\nturns={turns}\n"


async def run_here(script: str) -> tuple[int, str, str]:
    """Run a script on this host."""
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        script,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(RUN_WITHIN_S):
            said, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        return 1, "", f"iptables did not answer within {RUN_WITHIN_S:.0f} s"
    return process.returncode or 0, said.decode(errors="replace"), errors.decode(errors="replace")


def name_servers(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the IPv4 name servers that files like resolv.conf name, but for those on a loopback."""
    found: dict[str, None] = {}
    for line in "\n".join(texts).splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                address = ipaddress.IPv4Address(words[1])
            except ValueError:
                continue
            if not address.is_loopback:
                found[str(address)] = None
    return tuple(found)
