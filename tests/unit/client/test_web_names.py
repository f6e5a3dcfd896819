"""URLs of web endpoints are opened by Python's own means: names below localhost, and the way out of a container."""

import _socket
import asyncio
import http.server
import os
import socket
import socketserver
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry._connection import way_out
from wherry._connection.web_names import reachable


class Echo(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(body) + len(self.headers["host"])))
        self.end_headers()
        self.wfile.write(self.headers["host"].encode() + body)

    def address_string(self) -> str:
        return "test"

    def log_message(self, *_: object) -> None: ...


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def own_resolver() -> Iterator[None]:
    before = _socket.getaddrinfo
    yield
    _socket.getaddrinfo = before


@pytest.mark.usefixtures("own_resolver")
def test_names_below_localhost_are_this_machine() -> None:
    url = "http://wherry--a-b.localhost:8720"
    assert reachable(url) == url
    assert {row[4][0] for row in socket.getaddrinfo("wherry--a-b.localhost", 80, socket.AF_INET)} == {"127.0.0.1"}
    assert socket.getaddrinfo("A.Localhost.", "80", type=socket.SOCK_STREAM)[0][4] == ("127.0.0.1", 80)
    assert socket.getaddrinfo(b"a.localhost", 80, socket.AF_INET6)[0][4][0] == "::1"

    async def resolved() -> str:
        rows = await asyncio.get_running_loop().getaddrinfo("x.localhost", 80)
        return str(rows[0][4][0])

    assert asyncio.run(resolved()) == "127.0.0.1"
    # Once is enough, and others are asked of whoever knows.
    known = _socket.getaddrinfo
    reachable(url)
    assert _socket.getaddrinfo is known
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("localhost.invalid", 80)


def test_another_name_changes_nothing() -> None:
    known = _socket.getaddrinfo
    assert reachable("https://shop.example.com/a") == "https://shop.example.com/a"
    assert _socket.getaddrinfo is known


@pytest.mark.usefixtures("own_resolver")
def test_inside_a_container_the_port_leads_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_out, "container_directory", lambda: str(tmp_path))
    monkeypatch.setattr(way_out, "_listening", set())
    server = UnixServer(str(tmp_path / "web.sock"), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = reachable(f"http://wherry--a-b.localhost:{port}")
    # Twice, as a program does that asks for the URL of each of its calls.
    assert reachable(url) == url
    body = os.urandom(1 << 20)
    for _ in range(3):
        with urllib.request.urlopen(url, body) as response:
            assert response.read() == f"wherry--a-b.localhost:{port}".encode() + body
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("own_resolver")
def test_a_port_that_is_taken_is_left_to_who_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_out, "container_directory", lambda: str(tmp_path))
    monkeypatch.setattr(way_out, "_listening", set())
    (tmp_path / "web.sock").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert reachable(f"http://a.localhost:{port}") == f"http://a.localhost:{port}"
    assert way_out._listening == set()


def test_importing_wherry_leaves_the_resolver_alone() -> None:
    program = (
        "import _socket; known = _socket.getaddrinfo; import wherry, wherry.function; "
        "assert _socket.getaddrinfo is known"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_in_a_container_an_address_leads_out_however_the_program_came_by_it(tmp_path: Path) -> None:
    server = UnixServer(str(tmp_path / "web.sock"), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = (
        "import sys, wherry; assert 'socket' not in sys.modules; import urllib.request\n"
        "print(urllib.request.urlopen(sys.argv[1], b'asked').read().decode())\n"
        "import socket\n"
        # Of other names nothing is listened for: they may be a program's own.
        "assert socket.getaddrinfo('mine.localhost', int(sys.argv[2]) + 1)\n"
        "from wherry._connection import way_out\n"
        "assert way_out._listening == {int(sys.argv[2])}"
    )
    url = f"http://tunnel--co1-8000-abc.localhost:{port}"
    environment = {**os.environ, "WHERRY_CONTAINER": f"{tmp_path}{os.pathsep}"}
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, url, str(port)],
        env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    server.shutdown()
    server.server_close()
    assert (done.stdout, done.stderr) == (f"tunnel--co1-8000-abc.localhost:{port}asked\n", "")
