"""What a container reaches over the network, and what it does not."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import docker
import pytest

from tests.acceptance.service import OwnService
from tests.hostile.conftest import running_service
from tests.hostile.places import FunctionPlace, Place, SandboxPlace, sandbox_place
from tests.own_engine import OwnEngine
from tests.waiting import wait_until

# Where clouds tell whoever asks from a host what that host may do.
METADATA = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192")


def reach(host: str, port: int) -> str:
    import socket

    return socket.create_connection((host, port), timeout=3).recv(20).decode()


@pytest.fixture(scope="module", autouse=True)
def _on_a_network(runtime: str) -> None:
    if runtime == "runsc":
        pytest.skip("gVisor runs without a network stack here: nothing is in reach")


@pytest.fixture(scope="module")
def own_port() -> int:
    """A port of this host's loopback, which the service listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def service(engine: OwnEngine | None, own_port: int) -> Iterator[OwnService]:
    settings = {"WHERRY_LISTEN_ADDRESS": f"127.0.0.1:{own_port}", "WHERRY_TLS_MODE": "dev"}
    with running_service(engine, settings) as service:
        yield service


@pytest.fixture(scope="module")
def host_port() -> Iterator[int]:
    """A port of this host on which each connection is told a secret, on every address."""
    with socket.create_server(("0.0.0.0", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(b"the host's secret")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(scope="module")
def neighbour(service: OwnService) -> Iterator[tuple[str, SandboxPlace]]:
    """The address of another container, which serves a secret on port 8000."""
    with sandbox_place() as place:
        serve = (
            "import socket\nserver = socket.create_server(('0.0.0.0', 8000))\nprint('up', flush=True)\n"
            "while True:\n    connection, _ = server.accept()\n    connection.sendall(b'a neighbour')\n"
            "    connection.close()\n"
        )
        process = place.sandbox.exec("python3", "-u", "-c", serve)
        assert next(iter(process.stdout)).strip() == "up"
        engine = docker.from_env()
        try:
            (row,) = service.containers(container=place.sandbox.object_id)
            networks = engine.api.inspect_container(row["Id"])["NetworkSettings"]["Networks"]
        finally:
            engine.close()
        yield next(iter(networks.values()))["IPAddress"], place


def test_a_neighbour_is_out_of_reach(place: Place, neighbour: tuple[str, SandboxPlace]) -> None:
    address, itself = neighbour
    # It does serve: to itself and to the host, as a tunnel does.
    assert itself.attack(reach, "127.0.0.1", 8000).value == "a neighbour"
    with socket.create_connection((address, 8000), timeout=5) as connection:
        assert connection.recv(20) == b"a neighbour"
    got = place.attack(reach, address, 8000)
    assert got.error in ("ConnectionRefusedError", "TimeoutError", "OSError"), got


def test_the_hosts_addresses_are_out_of_reach(
    place: Place, host_port: int, neighbour: tuple[str, SandboxPlace]
) -> None:
    with socket.create_connection(("127.0.0.1", host_port), timeout=5) as connection:
        assert connection.recv(20) == b"the host's secret"
    for address in _addresses_of_this_host(neighbour[0]):
        got = place.attack(reach, address, host_port)
        assert got.error == "ConnectionRefusedError", (address, got)


def test_the_services_own_port_is_out_of_reach(
    place: Place, own_port: int, neighbour: tuple[str, SandboxPlace]
) -> None:
    socket.create_connection(("127.0.0.1", own_port), timeout=5).close()
    for address in ("127.0.0.1", *_addresses_of_this_host(neighbour[0])):
        got = place.attack(reach, address, own_port)
        assert got.error == "ConnectionRefusedError", (address, got)


@pytest.mark.parametrize("address", METADATA)
def test_the_clouds_metadata_is_out_of_reach(place: Place, address: str) -> None:
    got = place.attack(reach, address, 80)
    # At once, by a rule: what is only not there would time out.
    assert got.error == "ConnectionRefusedError", got


def test_there_is_no_ipv6(place: Place) -> None:
    # Of the loopback alone: neither fe80 neighbours nor fd00:ec2::254.
    addresses = place.attack("grep -v ' lo$' /proc/net/if_inet6 || true").value
    assert addresses == [0, ""]


def test_raw_frames_are_refused(place: Place) -> None:
    # Without these nobody can answer in another's name (ARP, DHCP, router advertisements).
    assert place.attack(_open_raw_socket, socket.AF_PACKET, socket.SOCK_RAW).error == "PermissionError"
    assert place.attack(_open_raw_socket, socket.AF_INET, socket.SOCK_RAW).error == "PermissionError"


def _open_raw_socket(family: int, kind: int) -> None:
    import socket

    socket.socket(family, kind, 1)


def test_names_are_resolved(function: FunctionPlace) -> None:
    # The server of names is asked, whatever it says: "no such name" is an answer, "try again" is silence.
    got = function.attack(_resolve, "name-that-is-not-there.invalid")
    assert got.value == socket.EAI_NONAME, got


def _resolve(name: str) -> int:
    import socket

    try:
        socket.getaddrinfo(name, 80)
    except socket.gaierror as error:
        return int(error.errno or 0)
    return 0


def test_a_network_that_was_removed_comes_back(service: OwnService, function: FunctionPlace) -> None:
    engine = docker.from_env()
    try:
        labels = {"label": [f"wherry.instance={service.instance}", "wherry.kind=network"]}
        (network,) = engine.networks.list(filters=labels)
        assert network.attrs["Options"]["com.docker.network.bridge.enable_icc"] == "false"
        assert network.attrs["Labels"]["wherry.state_dir"] == str(service.state_dir.resolve())
        for row in engine.api.inspect_network(network.id)["Containers"]:
            engine.api.disconnect_container_from_network(row, network.id, force=True)
        network.remove()
        with sandbox_place() as place:
            assert place.attack(reach, METADATA[0], 80).error == "ConnectionRefusedError"
        wait_until(lambda: engine.networks.list(filters=labels), "the network is there")
    finally:
        engine.close()


def _addresses_of_this_host(neighbour: str) -> list[str]:
    found = []
    for target in (neighbour, "192.0.2.1"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            found.append(probe.getsockname()[0])
    return found
