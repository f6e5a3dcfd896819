"""Ports of sandboxes and of functions' containers, as other machines reach them: by host name, and by token."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

import wherry
from tests.acceptance.apps import forwards
from tests.acceptance.service import OwnService, own_service
from tests.waiting import wait_until
from wherry import Sandbox
from wherry.exception import ExecutionError, InvalidError

SERVE = (
    "import http.server, json\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        body = json.dumps([self.path, dict(self.headers)]).encode()\n"
    "        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers()\n"
    "        self.wfile.write(body)\n"
    "http.server.ThreadingHTTPServer(('0.0.0.0', {port}), Handler).serve_forever()\n"
)


@pytest.fixture(scope="module")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def service(port: int) -> Iterator[OwnService]:
    """One that other machines reach below a domain; here nobody resolves that."""
    settings = {"WHERRY_HTTP_PORT": str(port), "WHERRY_HTTP_URL": f"http://apps.example.com:{port}"}
    with own_service(environment=settings) as service:
        yield service


def get(url: str, **headers: str) -> tuple[int, str]:
    """Ask as a machine would for which the domain leads here."""
    parts = urlsplit(url)
    asked = f"http://127.0.0.1:{parts.port}{parts.path or '/'}?{parts.query}"
    request = urllib.request.Request(asked, headers={"Host": parts.netloc, **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_sandboxs_port_is_reached_by_host_name_and_by_token(service: OwnService, port: int) -> None:
    with Sandbox.create("python3", "-c", SERVE.format(port=8080), timeout=60, encrypted_ports=[8080]) as sandbox:
        tunnel = sandbox.tunnels()[8080]
        assert tunnel.url.startswith("http://tunnel--")
        assert tunnel.url.endswith(f".apps.example.com:{port}")
        assert (tunnel.host, tunnel.port) == (urlsplit(tunnel.url).hostname, port)
        wait_until(lambda: get(tunnel.url)[0] == 200, "it answers")
        path, headers = json.loads(get(f"{tunnel.url}/a?b=c")[1])
        assert path == "/a?b=c"
        assert "X-Verified-User-Data" not in {name.title() for name in headers}
        # The port of the host is there, too.
        with socket.create_connection(tunnel.tcp_socket, timeout=5) as connection:
            connection.sendall(b"GET /raw HTTP/1.0\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.0 200")
        made = sandbox.create_connect_token(user_metadata={"user": "7"})
        assert get(made.url)[0] == 401
        assert get(made.url, Authorization=f"Bearer {made.token}x")[0] == 401
        status, text = get(f"{made.url}/b", Authorization=f"Bearer {made.token}")
        path, headers = json.loads(text)
        assert (status, path) == (200, "/b")
        assert {name.title(): value for name, value in headers.items()}["X-Verified-User-Data"] == '{"user": "7"}'
        with pytest.raises(InvalidError, match="printable ASCII"):
            sandbox.create_connect_token("a\r\nb: c")
    # With its sandbox, all of it has ended.
    assert get(tunnel.url)[0] == 404
    assert get(made.url, Authorization=f"Bearer {made.token}")[0] == 404


def test_a_sandbox_without_network_has_no_token(service: OwnService) -> None:
    refused = pytest.raises(InvalidError, match="has no network")
    with Sandbox.create(timeout=60, block_network=True) as sandbox, refused:
        sandbox.create_connect_token()


def test_a_function_opens_a_port_for_as_long_as_it_wants(service: OwnService, port: int) -> None:
    with forwards.app.run(), wherry.Queue.ephemeral() as told, wherry.Queue.ephemeral() as go:
        call = forwards.serve.spawn(told, go)
        url, tcp, tls = told.get(timeout=60)
        assert url.startswith("http://tunnel--co")
        wait_until(lambda: get(url)[0] == 200, "it answers")
        assert get(f"{url}/x")[1] == "/x of the function"
        with socket.create_connection(tcp, timeout=5) as connection:
            connection.sendall(b"GET /raw HTTP/1.0\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.0 200")
        assert tls == tcp
        go.put("go")
        assert call.get() == "closed"
        wait_until(lambda: get(url)[0] == 404, "it is closed")
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(tcp, timeout=5)
        with pytest.raises(InvalidError, match="has no network"):
            forwards.without_network.remote()
        assert forwards.too_many.remote() == 16


def test_forward_is_for_functions() -> None:
    with pytest.raises(ExecutionError, match="call it in a function"), wherry.forward(8000):
        pass
    with pytest.raises(InvalidError, match="port"):
        wherry.forward(0)
