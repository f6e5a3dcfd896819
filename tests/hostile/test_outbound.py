"""Sandboxes that may reach only what is on a list try to get around it."""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from tests.acceptance.service import OwnService
from tests.hostile.conftest import running_service
from tests.hostile.places import SandboxPlace, sandbox_place
from tests.own_engine import OwnEngine
from tests.waiting import wait_until

# Of nobody: packets for it are on the list and lead nowhere.
NOWHERE = "198.51.100.7"
# TLS and HTTP of this host's loopback, which the gate may reach here, as `localhost`.
HERE = "127.0.0.1"
# Another of its addresses, as a name that leads there: whoever owns a name says where it leads.
OWN = "127.0.0.2"


@pytest.fixture(scope="module", autouse=True)
def _on_a_network(runtime: str) -> None:
    if runtime == "runsc":
        pytest.skip("gVisor runs without a network stack here: nothing is in reach")


def serving(address: str, port: int, serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve each connection by itself; give the port."""
    with socket.create_server((address, port)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=each, args=(connection,), daemon=True).start()

        def each(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(scope="module")
def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    """A port of this host that says what it is told, which the settings open for containers."""

    def serve(connection: socket.socket) -> None:
        while data := connection.recv(1000):
            connection.sendall(data)

    yield from serving("0.0.0.0", 0, serve)


@pytest.fixture(scope="module")
def secret_port() -> Iterator[int]:
    """A port of this host that tells a secret."""
    yield from serving("0.0.0.0", 0, lambda connection: connection.sendall(b"the host's secret"))


@pytest.fixture(scope="module")
def heard() -> list[bytes]:
    """What the HTTP server of this host was asked."""
    return []


@pytest.fixture(scope="module")
def web(heard: list[bytes]) -> Iterator[None]:
    """Servers at ports 443, which says that it is there, and 80, which sends all elsewhere."""

    def redirect(connection: socket.socket) -> None:
        while data := connection.recv(10_000):
            heard.append(data)
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://other.example/\r\nContent-Length: 0\r\n\r\n")

    def say(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b"reached")

    with contextlib.ExitStack() as stack:
        for port, serve in ((80, redirect), (443, say)):
            stack.enter_context(contextlib.contextmanager(serving)(HERE, port, serve))
        yield


@pytest.fixture(scope="module")
def service(engine: OwnEngine | None, web: None, own_address: str, echo: int) -> Iterator[OwnService]:
    allow = f"{HERE}:80 {HERE}:443 {own_address}:{echo}"
    with running_service(engine, {"WHERRY_NETWORK_ALLOW": allow}) as service:
        yield service


@pytest.fixture(scope="module")
def listed(service: OwnService) -> Iterator[SandboxPlace]:
    """With a network, and with domains: one that is this host's loopback, and this host by name."""
    with sandbox_place(
        outbound_cidr_allowlist=[f"{NOWHERE}/32"],
        outbound_domain_allowlist=["localhost", OWN, "*.good.example"],
    ) as place:
        yield place


@pytest.fixture(scope="module")
def free(service: OwnService) -> Iterator[SandboxPlace]:
    """Without a list: what it is kept from is kept from all."""
    with sandbox_place() as place:
        yield place


def tcp(host: str, port: int, said: str = "", name: str = "") -> str:
    """Connect, with TLS for a server of that name up to its first words, and return what comes back."""
    import socket
    import ssl

    with socket.create_connection((host, port), timeout=4) as connection:
        if name:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            out = ssl.MemoryBIO()
            try:
                context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
            except ssl.SSLWantReadError:
                connection.sendall(out.read())
        connection.sendall(said.encode().decode("unicode_escape").encode("latin-1"))
        return connection.recv(1000).decode(errors="replace")


NOTHING = ("ConnectionResetError", "BrokenPipeError", "ConnectionRefusedError", "TimeoutError", "OSError")


def got_nothing(got: Any) -> bool:
    return got.value == "" or got.error in NOTHING


def test_what_is_on_the_list_is_reached_wherever_it_is_said_to_be(listed: SandboxPlace) -> None:
    # The gate takes the server's name, and not the address: 203.0.113.1 is anybody's.
    assert listed.attack(tcp, "203.0.113.1", 443, "", "localhost").value == "reached"
    got = listed.attack(tcp, "203.0.113.1", 80, r"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert got.value.startswith("HTTP/1.1 302")
    # By address: the rules let it out, and nobody is there.
    got = listed.attack(tcp, NOWHERE, 9)
    assert got.error != "ConnectionRefusedError", got


def test_addresses_are_no_way_around(listed: SandboxPlace) -> None:
    for host, port in (("1.1.1.1", 22), ("1.1.1.1", 8443), ("198.51.100.8", 9), ("10.0.0.1", 5432)):
        assert listed.attack(tcp, host, port).error == "ConnectionRefusedError", (host, port)
    # As IPv6 says it; and without a list of networks a port of the web leads to the gate alone.
    assert listed.attack(tcp, "::ffff:1.1.1.1", 22).refused
    for said, name in (("", "other.example"), (r"GET / HTTP/1.1\r\nHost: 1.1.1.1\r\n\r\n", ""), (r"\x16\x03\x01", "")):
        for port in (80, 443):
            assert got_nothing(listed.attack(tcp, "1.1.1.1", port, said, name)), (said, name, port)


@pytest.mark.parametrize(
    "said",
    [
        r"GET http://other.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        r"GET / HTTP/1.1\r\nHost: localhost\r\nHost: other.example\r\n\r\n",
        r"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n",
        r"CONNECT other.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_a_request_with_two_meanings_goes_nowhere(listed: SandboxPlace, heard: list[bytes], said: str) -> None:
    before = len(heard)
    assert got_nothing(listed.attack(tcp, "203.0.113.1", 80, said))
    assert len(heard) == before


def test_a_redirect_leads_nowhere_and_each_request_is_the_only_one(listed: SandboxPlace, heard: list[bytes]) -> None:
    def follow() -> str:
        import http.client

        first = http.client.HTTPConnection("203.0.113.1", timeout=4)
        first.request("GET", "/", headers={"Host": "localhost", "Connection": "keep-alive"})
        elsewhere = first.getresponse().headers["Location"]
        second = http.client.HTTPConnection("203.0.113.1", timeout=4)
        second.request("GET", "/", headers={"Host": elsewhere.split("/")[2]})
        return str(second.getresponse().status)

    got = listed.attack(follow)
    assert got.error in ("RemoteDisconnected", "ConnectionResetError"), got
    assert b"\r\nConnection: close\r\n" in heard[-1]
    assert b"keep-alive" not in heard[-1]


def resolve(name: str) -> list[str]:
    import socket

    return sorted({str(row[4][0]) for row in socket.getaddrinfo(name, 443)})


def ask(server: str, name: str) -> int:
    """Return the code of an answer to a question over UDP."""
    import socket
    import struct

    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(4)
        asking.connect((server, 53))
        asking.send(struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + labels + struct.pack(">HH", 16, 1))
        return asking.recv(512)[3] & 15


def test_names_tell_nobody_anything(listed: SandboxPlace) -> None:
    assert len(listed.attack(resolve, "any.good.example").value) == 1
    for name in ("secret.attacker.example", "good.example", "example.com"):
        assert listed.attack(resolve, name).error == "gaierror", name
    # Whichever server it asks, the gate answers: 3 is "no such name".
    assert listed.attack(ask, "8.8.8.8", "secret.attacker.example").value == 3
    assert listed.attack(tcp, "8.8.8.8", 53).error == "ConnectionRefusedError"
    assert listed.attack(tcp, "8.8.8.8", 853).error == "ConnectionRefusedError"


def test_with_networks_alone_there_are_no_names(service: OwnService) -> None:
    with sandbox_place(outbound_cidr_allowlist=[f"{NOWHERE}/32"]) as place:
        assert place.attack(resolve, "example.com").error == "gaierror"
        assert place.attack(ask, "8.8.8.8", "secret.attacker.example").value == 3
        assert got_nothing(place.attack(tcp, "203.0.113.1", 443, "", "localhost"))


def test_a_name_does_not_lead_to_the_host(listed: SandboxPlace) -> None:
    said = rf"GET / HTTP/1.1\r\nHost: {OWN}\r\n\r\n"
    with contextlib.contextmanager(serving)(OWN, 80, lambda connection: connection.sendall(b"the host's secret")):
        with socket.create_connection((OWN, 80), timeout=5) as connection:
            assert connection.recv(20) == b"the host's secret"
        assert got_nothing(listed.attack(tcp, "203.0.113.1", 80, said))


def test_the_hosts_own_ports_are_none_of_its(listed: SandboxPlace, own_address: str, secret_port: int) -> None:
    with socket.create_connection((own_address, secret_port), timeout=5) as connection:
        assert connection.recv(20) == b"the host's secret"

    def gateway() -> str:
        import pathlib
        import socket

        route = [line.split() for line in pathlib.Path("/proc/net/route").read_text().splitlines()][1:]
        raw = next(row[2] for row in route if row[1] == "00000000")
        return socket.inet_ntoa(bytes.fromhex(raw)[::-1])

    for address in (own_address, listed.attack(gateway).value):
        got = listed.attack(tcp, address, secret_port)
        assert got.error == "ConnectionRefusedError", (address, got)


def test_metadata_is_on_no_list(service: OwnService) -> None:
    with sandbox_place(outbound_cidr_allowlist=["0.0.0.0/0"]) as place:
        for address in ("169.254.169.254", "100.100.100.200", "168.63.129.16"):
            assert place.attack(tcp, address, 80).error == "ConnectionRefusedError"


def test_other_protocols_and_addresses_of_others_are_no_way_around(listed: SandboxPlace) -> None:
    def raw(family: int, kind: int) -> None:
        import socket

        socket.socket(family, kind, 1)

    def datagram(kind: int, protocol: int, as_another: bool) -> str:
        """Send to somebody who is not on the list; what the kernel says of it comes with the next call."""
        import socket

        with socket.socket(socket.AF_INET, kind, protocol) as sending:
            sending.settimeout(2)
            if as_another:
                sending.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
                sending.bind(("198.51.100.9", 0))
            sending.connect(("1.1.1.1", 9))
            sending.send(b"\x08\0\0\0\0\0\0\0")
            return sending.recv(100).decode(errors="replace")

    assert listed.attack(raw, socket.AF_INET, socket.SOCK_RAW).error == "PermissionError"
    assert listed.attack(raw, socket.AF_PACKET, socket.SOCK_RAW).error == "PermissionError"
    for kind, protocol in ((socket.SOCK_DGRAM, 0), (socket.SOCK_DGRAM, socket.IPPROTO_ICMP)):
        for as_another in (False, True):
            assert listed.attack(datagram, kind, protocol, as_another).refused, (kind, protocol, as_another)
    assert listed.attack("grep -v ' lo$' /proc/net/if_inet6 || true").value == [0, ""]
    assert listed.attack("ip route add 1.1.1.1 via 127.0.0.1 2>&1 || iptables -F 2>&1 || echo no").value[1].strip()


def test_no_other_sandbox_is_a_relay(service: OwnService, listed: SandboxPlace, free: SandboxPlace) -> None:
    serve = (
        "import socket\nserver = socket.create_server(('0.0.0.0', 8000))\nprint('up', flush=True)\n"
        "while True:\n    connection, _ = server.accept()\n    connection.sendall(b'a relay')\n    connection.close()\n"
    )
    with sandbox_place(outbound_cidr_allowlist=["0.0.0.0/0"]) as other:
        for relay in (other, free):
            process = relay.sandbox.exec("python3", "-u", "-c", serve)
            assert next(iter(process.stdout)).strip() == "up"
            address = _address(service, relay)
            # It does serve: to the host, as a tunnel would.
            with socket.create_connection((address, 8000), timeout=5) as connection:
                assert connection.recv(20) == b"a relay"
            assert listed.attack(tcp, address, 8000).error == "ConnectionRefusedError"
            # And those whose list has all reach neither: sandboxes are on nobody's list.
            if relay is free:
                assert other.attack(tcp, address, 8000).refused


def test_what_is_taken_off_the_list_ends_at_once(service: OwnService, own_address: str, echo: int) -> None:
    hold = (
        "import socket, sys\nconnection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)\n"
        "for line in sys.stdin:\n    connection.sendall(line.encode())\n"
        "    print('got', connection.recv(100).decode().strip(), flush=True)\n"
    )
    with sandbox_place(outbound_cidr_allowlist=[f"{own_address}/32"]) as place:
        process = place.sandbox.exec("python3", "-u", "-c", hold, own_address, str(echo), timeout=60)
        lines = iter(process.stdout)

        def say(text: str) -> None:
            process.stdin.write(f"{text}\n")
            process.stdin.drain()

        say("one")
        assert next(lines).strip() == "got one"
        place.sandbox.set_outbound_allowlist(outbound_domain_allowlist=["localhost"])
        say("two")
        assert process.wait() == 1, "its connection is dead"
        assert place.attack(tcp, own_address, echo).error == "ConnectionRefusedError"
        assert place.attack(tcp, "203.0.113.1", 443, "", "localhost").value == "reached"
        place.sandbox.set_outbound_allowlist(outbound_cidr_allowlist=[f"{own_address}/32"])
        assert got_nothing(place.attack(tcp, "203.0.113.1", 443, "", "localhost"))
        assert place.attack(tcp, own_address, echo, "three").value == "three"


def test_lists_hold_while_the_service_is_gone_and_after_it_came_back(
    service: OwnService, own_address: str, echo: int
) -> None:
    with sandbox_place(outbound_cidr_allowlist=[f"{own_address}/32"], outbound_domain_allowlist=["localhost"]) as place:
        address = _address(service, place)
        service.signal(signal.SIGKILL)
        wait_until(lambda: not service.is_running, "the service is dead")
        service.start()
        wait_until(
            lambda: SandboxPlace(place.sandbox).attack(tcp, "203.0.113.1", 443, "", "localhost").value == "reached",
            "the gate is back",
        )
        again = SandboxPlace(place.sandbox)
        assert again.attack(tcp, own_address, echo, "x").value == "x"
        assert again.attack(tcp, "1.1.1.1", 22).error == "ConnectionRefusedError"
        assert _address(service, place) == address


def _address(service: OwnService, place: SandboxPlace) -> str:
    engine = docker.from_env()
    try:
        (row,) = service.containers(container=place.sandbox.object_id)
        networks = engine.api.inspect_container(row["Id"])["NetworkSettings"]["Networks"]
    finally:
        engine.close()
    return str(next(iter(networks.values()))["IPAddress"])
