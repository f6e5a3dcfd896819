"""The kernel's rules for the containers' bridge: what they say, and what the script does where something is missing."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from wherry_service.engines.firewall import METADATA, Firewall, FirewallError, Place, Rules, name_servers
from wherry_service.errors import Unready

# The bridge is looked for among the interfaces: the loopback is one everywhere.
RULES = Rules("lo", "abc", (Place("10.0.0.5/32", 5432), Place("10.1.0.0/16")), (7433,), ("9.9.9.9",), ("10.0.0.0/8",))

# Stands for one of iptables' programs: notes what it is asked, and answers from files beside it.
PROGRAM = """#!/bin/sh
here=$(dirname "$0"); name=$(basename "$0")
echo "$name $*" >>"$here/asked"
case "$*" in
    *" -L "*) for chain in DOCKER-USER FORWARD; do
        case "$*" in *$chain*) [ -e "$here/$name.$chain" ] || { echo "$name: no $chain" >&2; exit 1; } ;; esac
    done ;;
    *" -S"*) cat "$here/$name.saved" 2>/dev/null ;;
    *" -C "*) [ -e "$here/$name.hooked" ] || exit 1 ;;
esac
case "$name" in *-restore)
    cat >"$here/restored"
    [ ! -e "$here/$name.fails" ] || { echo "bad rule" >&2; exit 1; } ;;
esac
exit 0
"""


class Tables:
    """A directory with stand-ins for iptables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for kind in ("iptables", "ip6tables"):
            for end in ("", "-legacy", "-nft"):
                for more in ("", "-restore"):
                    path = folder / f"{kind}{end}{more}"
                    path.write_text(PROGRAM)
                    path.chmod(0o755)

    async def run(self, script: str) -> tuple[int, str, str]:
        environment = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}
        ran = await asyncio.to_thread(
            subprocess.run, ["sh", "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        return ran.returncode, ran.stdout, ran.stderr

    def have(self, *names: str) -> None:
        for name in names:
            (self.folder / name).touch()

    @property
    def asked(self) -> list[str]:
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("10.0.0.5:5432", Place("10.0.0.5/32", 5432)),
        ("10.0.0.0/8", Place("10.0.0.0/8")),
        ("10.0.0.5", Place("10.0.0.5/32")),
        ("0.0.0.0/0", Place("0.0.0.0/0")),
    ],
)
def test_a_place_is_read(text: str, place: Place) -> None:
    assert Place.parse(text, "X") == place


@pytest.mark.parametrize(
    "text", ["", "x", "10.0.0.5:x", "10.0.0.5:70000", "10.0.0.1/8", "::1", "10.0.0.5; reboot", "$(id)", "-j"]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(Unready, match=r"^X has "):
        Place.parse(text, "X")


def test_the_rules_in_their_order() -> None:
    lines = RULES.restored().splitlines()
    assert lines[:3] == ["*filter", ":WHERRY-IN-abc - [0:0]", ":WHERRY-FW-abc - [0:0]"]
    assert lines[-1] == "COMMIT"
    to_host = [line.partition(" ")[2].partition(" ")[2] for line in lines if line.startswith("-A WHERRY-IN-abc")]
    beyond = [line.partition(" ")[2].partition(" ")[2] for line in lines if line.startswith("-A WHERRY-FW-abc")]
    both = [
        "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        "-d 9.9.9.9/32 -p tcp -m tcp --dport 53 -j RETURN",
        "-d 9.9.9.9/32 -p udp -m udp --dport 53 -j RETURN",
        "-d 10.0.0.5/32 -p tcp -m tcp --dport 5432 -j RETURN",
        "-d 10.0.0.5/32 -p udp -m udp --dport 5432 -j RETURN",
        "-d 10.1.0.0/16 -j RETURN",
    ]
    assert to_host == [*both, "-p tcp -m tcp --dport 7433 -j RETURN", "-j REJECT"]
    # What is allowed goes before what is blocked; a neighbour is refused whatever is allowed beyond.
    refused = [f"-d {network} -j REJECT" for network in (*METADATA, "10.0.0.0/8")]
    assert beyond == [*both, "-o lo -j REJECT", *refused]


def test_name_servers_are_read() -> None:
    texts = [
        "nameserver 10.0.0.2\nsearch x\nnameserver 127.0.0.53\n",
        "nameserver ::1\n# nameserver 1.1.1.1\nnameserver 10.0.0.2",
    ]
    assert name_servers(texts) == ("10.0.0.2",)
    assert name_servers(["nameserver\nnameserver 8.8.8.8 # x\n nameserver 9.9.9.9"]) == ("8.8.8.8", "9.9.9.9")


@pytest.mark.parametrize("used", ["iptables", "iptables-legacy", "iptables-nft"])
def test_the_engines_back_end_is_used_and_its_chain_for_users(tables: Tables, used: str) -> None:
    tables.have("iptables.FORWARD", "iptables-nft.FORWARD", f"{used}.DOCKER-USER", f"{used}.FORWARD")
    asyncio.run(Firewall(tables.run).apply(RULES))
    assert (tables.folder / "restored").read_text() == RULES.restored()
    assert f"{used}-restore -w 5 --noflush" in tables.asked
    hooks = [line for line in tables.asked if " -I " in line and line.startswith(f"{used} ")]
    assert hooks == [
        f"{used} -w 5 -I INPUT 1 -i lo -j WHERRY-IN-abc", f"{used} -w 5 -I DOCKER-USER 1 -i lo -j WHERRY-FW-abc"
    ]  # fmt: skip
    six = used.replace("iptables", "ip6tables")
    if os.path.exists("/proc/net/if_inet6"):
        assert f"{six} -w 5 -I FORWARD 1 -i lo -j REJECT" in tables.asked


def test_an_engine_without_a_chain_for_users_has_forward(tables: Tables) -> None:
    tables.have("iptables-nft.FORWARD")
    asyncio.run(Firewall(tables.run).apply(RULES))
    assert "iptables-nft -w 5 -I FORWARD 1 -i lo -j WHERRY-FW-abc" in tables.asked


def test_what_is_hooked_is_not_hooked_twice(tables: Tables) -> None:
    tables.have("iptables.DOCKER-USER", "iptables.FORWARD", "iptables.hooked", "ip6tables.hooked")
    asyncio.run(Firewall(tables.run).apply(RULES))
    assert not [line for line in tables.asked if " -I " in line]


def test_chains_whose_bridge_has_gone_are_removed(tables: Tables) -> None:
    tables.have("iptables.DOCKER-USER", "iptables.FORWARD")
    (tables.folder / "iptables.saved").write_text(
        "-N WHERRY-IN-old\n-N WHERRY-FW-old\n-A INPUT -i wh-old -j WHERRY-IN-old\n-A INPUT -i wh-older -j X\n"
    )
    asyncio.run(Firewall(tables.run).apply(RULES))
    assert "iptables -w 5 -D INPUT -i wh-old -j WHERRY-IN-old" in tables.asked
    assert "iptables -w 5 -X WHERRY-FW-old" in tables.asked
    assert not [line for line in tables.asked if "wh-older" in line]


@pytest.mark.parametrize(
    ("have", "bridge", "said"),
    [
        ((), "lo", "no iptables that may be used: iptables: no FORWARD"),
        (("iptables.FORWARD",), "wh-nowhere", "the engine's bridge wh-nowhere is not among the interfaces here"),
        (("iptables.FORWARD", "iptables-restore.fails"), "lo", "bad rule"),
    ],
)
def test_where_rules_cannot_be_made_it_is_said_why(
    tables: Tables, have: tuple[str, ...], bridge: str, said: str
) -> None:
    tables.have(*have)
    with pytest.raises(FirewallError, match=said):
        asyncio.run(Firewall(tables.run).apply(Rules(bridge, "abc")))


@pytest.mark.parametrize(("printed", "seen"), [("1", True), ("0", False), ("", False)])
def test_whether_frames_of_a_bridge_meet_the_rules_is_told(printed: str, seen: bool) -> None:
    async def run(script: str) -> tuple[int, str, str]:
        return 0, f"something\n{printed}\n", ""

    assert asyncio.run(Firewall(run).apply(RULES)) is seen


def test_they_are_removed(tables: Tables) -> None:
    tables.have("iptables.DOCKER-USER", "iptables.FORWARD")
    (tables.folder / "iptables.saved").write_text("-A INPUT -i wh-abc -j WHERRY-IN-abc\n")
    asyncio.run(Firewall(tables.run).remove(RULES))
    assert "iptables -w 5 -D INPUT -i wh-abc -j WHERRY-IN-abc" in tables.asked
    assert "iptables -w 5 -X WHERRY-IN-abc" in tables.asked
