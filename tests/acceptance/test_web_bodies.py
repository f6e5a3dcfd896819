"""Requests whose bodies come late, and responses that make no sense, without any framework."""

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

import wherry
from tests.acceptance.conftest import RunApp
from tests.acceptance.web_client import client_of

app = wherry.App("web-bodies")


@app.function(serialized=True)
@wherry.asgi_app()
def asgi() -> Any:
    async def web(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, status = b"", 401
        if scope["path"] != "/refuse":
            status = 200
            while True:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
        length = str(len(body)).encode()
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": body})

    return web


@app.function(serialized=True)
@wherry.wsgi_app()
def wsgi() -> Any:
    def web(environ: Any, start_response: Any) -> Any:
        refuses = environ["PATH_INFO"] == "/refuse"
        body = b"" if refuses else environ["wsgi.input"].read()
        start_response("401 Unauthorized" if refuses else "200 OK", [("content-length", str(len(body)))])
        return [body]

    return web


@app.function(serialized=True)
@wherry.web_server(8000)
def server() -> None:
    import socket
    import threading

    listening = socket.create_server(("127.0.0.1", 8000))
    says = {
        "/nonsense": b"hello there\r\n\r\n",
        "/nothing": b"",
        "/headers": b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "/endless": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000,
        "/chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\nxyz\r\n",
        "/short": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nab",
        "/fine": b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine",
    }

    def serve() -> None:
        while True:
            peer, _ = listening.accept()
            asked = peer.recv(65536).decode().split(" ")
            if len(asked) > 1 and asked[1] == "/end":
                listening.close()
                peer.close()
                return
            if len(asked) > 1:
                peer.sendall(says[asked[1]])
            peer.close()

    threading.Thread(target=serve, daemon=True).start()


@pytest.fixture(scope="module", autouse=True)
def running(run_app: RunApp) -> Iterator[None]:
    with run_app(app):
        yield


def _asked(url: str, path: str, more: str = "") -> socket.socket:
    parts = urlsplit(url)
    peer = socket.create_connection(("127.0.0.1", parts.port or 80))
    peer.settimeout(20)
    peer.sendall(f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 4\r\n{more}\r\n".encode())
    return peer


def _rest(peer: socket.socket) -> bytes:
    heard = b""
    while b"body" not in heard and (data := peer.recv(1000)):
        heard += data
    peer.close()
    return heard


@pytest.mark.parametrize("function", [asgi, wsgi], ids=["asgi", "wsgi"])
def test_b51_an_app_may_refuse_before_the_body_is_sent(function: wherry.Function[..., Any]) -> None:
    heard = _rest(_asked(function.web_url, "/refuse", "Expect: 100-continue\r\n"))
    assert heard.startswith(b"HTTP/1.1 401 "), heard
    assert b"100 Continue" not in heard


@pytest.mark.parametrize("function", [asgi, wsgi], ids=["asgi", "wsgi"])
def test_b51_a_client_is_told_to_go_on_when_the_app_reads(function: wherry.Function[..., Any]) -> None:
    peer = _asked(function.web_url, "/", "Expect: 100-continue\r\n")
    assert peer.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.sendall(b"body")
    heard = _rest(peer)
    assert heard.startswith(b"HTTP/1.1 200 "), heard
    assert heard.endswith(b"body")


@pytest.mark.parametrize("function", [asgi, wsgi], ids=["asgi", "wsgi"])
def test_b51_a_request_runs_before_its_body_is_there(function: wherry.Function[..., Any]) -> None:
    peer = _asked(function.web_url, "/refuse")
    assert peer.recv(1000).startswith(b"HTTP/1.1 401 ")
    peer.close()
    peer = _asked(function.web_url, "/")
    peer.sendall(b"bo")
    peer.sendall(b"dy")
    assert _rest(peer).endswith(b"body")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/nonsense", "does not speak HTTP/1.1"),
        ("/nothing", "broke off, or sent no HTTP"),
        ("/headers", "sent malformed headers"),
        ("/endless", "broke off, or sent no HTTP"),
    ],
)
def test_b51_a_server_that_makes_no_sense_is_a_bad_gateway(path: str, told: str) -> None:
    with client_of(server.web_url) as client:
        answer = client.get(path)
        assert (answer.status_code, told in answer.text) == (502, True), answer.text
        assert client.get("/fine").text == "fine"


@pytest.mark.parametrize("path", ["/chunks", "/short"])
def test_b51_a_server_that_breaks_off_in_its_response_is_no_whole_response(path: str) -> None:
    with client_of(server.web_url) as client, pytest.raises(httpx.RemoteProtocolError):
        client.get(path)


def test_b51_a_server_that_has_ended_is_a_bad_gateway() -> None:
    with client_of(server.web_url) as client:
        assert client.get("/end").status_code == 502
        gone = client.get("/fine")
        assert (gone.status_code, "nothing listens on port 8000 any more" in gone.text) == (502, True)
