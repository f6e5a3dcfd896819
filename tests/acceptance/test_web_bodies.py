"""Requests whose bodies come late, and responses that make no sense, without any framework."""

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

import wherry
from tests.acceptance.conftest import RunApp

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
