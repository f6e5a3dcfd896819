"""Tunnels as a program is given them, and what it is told where there is none."""

import pytest

from tests.fakes.service import FakeService
from wherry import Sandbox, Tunnel
from wherry._connection.client import Client
from wherry.exception import InvalidError
from wherry_proto.messages import SandboxConnectToken, SandboxInfo, SandboxState, SandboxTunnel

SANDBOX = "sb-00000000000000000000000000"


class Tunneled(FakeService):
    """Has one sandbox."""

    def __init__(self) -> None:
        super().__init__()
        self.tunnels: list[SandboxTunnel] = []

    def _sandboxes_get(self, request: object) -> SandboxInfo:
        return SandboxInfo(sandbox_id=SANDBOX, state=SandboxState.RUNNING, tunnels=self.tunnels)

    def _sandboxes_createconnecttoken(self, request: object) -> SandboxConnectToken:
        return SandboxConnectToken(url="http://127.0.0.1:8720/tunnel--x", token="t")


@pytest.fixture
def service() -> Tunneled:
    return Tunneled()


def test_where_a_port_is_reached(service: Tunneled, client: Client) -> None:
    service.tunnels = [
        SandboxTunnel(port=80, host="127.0.0.1", host_port=40123),
        SandboxTunnel(port=81, host="127.0.0.1", host_port=40124, url="https://tunnel--x.apps.example.com"),
        # As code in a container is told it.
        SandboxTunnel(port=82, host="127.0.0.1", host_port=40125, local_url="http://tunnel--y.localhost:8720"),
    ]
    found = Sandbox.from_id(SANDBOX, client=client).tunnels()
    assert list(found) == [80, 81, 82]
    assert [found[port].url for port in found] == [
        "http://127.0.0.1:40123",
        "https://tunnel--x.apps.example.com",
        "http://tunnel--y.localhost:8720",
    ]
    assert [found[port].tls_socket for port in found] == [
        ("127.0.0.1", 40123),
        ("tunnel--x.apps.example.com", 443),
        ("127.0.0.1", 40125),
    ]
    assert (found[82].host, found[82].port, found[82].tcp_socket) == (
        "tunnel--y.localhost",
        8720,
        ("127.0.0.1", 40125),
    )
    assert isinstance(found[80], Tunnel)
    with pytest.raises(KeyError, match=rf"{SANDBOX} has no tunnel for port 9 \(tunnels: 80, 81, 82\): name the port"):
        found[9]
    assert found.get(9) is None
    service.tunnels = []
    with pytest.raises(KeyError, match="tunnels: none, or the sandbox has ended"):
        Sandbox.from_id(SANDBOX, client=client).tunnels()[80]


def test_what_a_token_says_is_json(service: Tunneled, client: Client) -> None:
    sandbox = Sandbox.from_id(SANDBOX, client=client)
    assert sandbox.create_connect_token({"user": 7}).token == "t"
    with pytest.raises(InvalidError, match="user_metadata can't be sent as JSON: Object of type set is not"):
        sandbox.create_connect_token({"a": {1}})
