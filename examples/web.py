"""Functions with URLs: a FastAPI handler, an ASGI app, a WSGI app, and a server of its own.

wherry run examples/web.py
wherry serve examples/web.py     # and open the URLs that it prints
"""

import subprocess
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import wherry

app = wherry.App("web-example")
with_fastapi = wherry.Image.debian_slim().pip_install("fastapi")


@app.function(image=with_fastapi)
@wherry.fastapi_endpoint()
def greet(name: str = "world") -> dict[str, str]:
    """FastAPI checks the parameters, and makes JSON of what is returned."""
    return {"hello": name}


@app.function()
@wherry.concurrent(max_inputs=100)
@wherry.asgi_app()
def ticker() -> Any:
    """Any ASGI app: FastAPI, Starlette, Django, or none of them."""

    async def web(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for count in range(3):
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % count, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return web


@app.function()
@wherry.wsgi_app()
def mirror() -> Any:
    """Any WSGI app: Flask, Django, or none of them."""

    def web(environ: Any, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("content-type", "text/plain")])
        return [body[::-1]]

    return web


@app.function()
@wherry.concurrent(max_inputs=100)
@wherry.web_server(8000)
def files() -> None:
    """Anything that listens on a port; the function starts it and returns."""
    subprocess.Popen(["python3", "-m", "http.server", "8000", "--directory", "/etc"])


@app.local_entrypoint()
def main() -> None:
    print(ask(greet.web_url, "/?name=you"))
    print(ask(ticker.web_url, "/").split())
    print(ask(mirror.web_url, "/", b"stressed"))
    print(ask(files.web_url, "/debian_version").strip())


def ask(url: str, path: str, body: bytes | None = None) -> str:
    """Send a request. Not every resolver knows the names under localhost, so the host is given apart."""
    parts = urlsplit(url)
    request = urllib.request.Request(f"http://127.0.0.1:{parts.port}{path}", body, {"Host": parts.netloc})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return str(answer.read().decode())
