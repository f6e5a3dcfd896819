"""Web endpoints of every kind; one image and as few containers as that takes."""

import asyncio
import os
import subprocess
import time
from typing import Any

import wherry

image = wherry.Image.debian_slim().pip_install("fastapi", "python-multipart", "flask", "django", "streamlit")
app = wherry.App("web-tests", image=image)


@app.cls(allow_concurrent_inputs=100, timeout=60)
class Site:
    @wherry.enter()
    def enter(self) -> None:
        self.entered = 1

    @wherry.method()
    def twice(self, x: int) -> int:
        return 2 * x

    @wherry.fastapi_endpoint()
    def hello(self, name: str = "world", count: int = 1) -> dict[str, Any]:
        return {"hello": name, "count": count, "entered": self.entered}

    @wherry.fastapi_endpoint(method="POST", docs=True, label="Größe & Item!")
    async def item(self, item: dict[str, int]) -> dict[str, int]:
        return {"sum": sum(item.values())}

    @wherry.fastapi_endpoint(requires_proxy_auth=True)
    def guarded(self) -> str:
        return "in"

    @wherry.fastapi_endpoint(response_timeout=0.4)
    async def slow(self, seconds: float = 1.5) -> dict[str, float]:
        await asyncio.sleep(seconds)
        return {"slept": seconds}

    @wherry.fastapi_endpoint(method="POST", wait_for_response=False)
    async def later(self, seconds: float = 0.3) -> dict[str, float]:
        await asyncio.sleep(seconds)
        return {"slept": seconds}

    @wherry.asgi_app()
    def site(self) -> Any:
        from tests.acceptance.apps.web_site import make

        return make()

    @wherry.wsgi_app()
    def flask(self) -> Any:
        import flask

        web = flask.Flask("site")

        @web.get("/")
        def index() -> str:
            return f"{flask.request.script_root}|{flask.request.args.get('q')}|{flask.request.remote_addr}"

        @web.post("/up")
        def up() -> dict[str, int]:
            size = 0
            while chunk := flask.request.stream.read(100_000):
                size += len(chunk)
            return {"size": size}

        @web.get("/down")
        def down() -> Any:
            return flask.Response((b"y" * 100_000 for _ in range(30)), mimetype="application/octet-stream")

        @web.get("/fails")
        def fails() -> str:
            raise RuntimeError("on purpose")

        return web

    @wherry.wsgi_app()
    def django(self) -> Any:
        from tests.acceptance.apps.web_django import make

        return make()


@app.function(timeout=2, allow_concurrent_inputs=10)
@wherry.asgi_app()
def ends() -> Any:
    """What goes wrong in the midst."""

    async def web(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["path"] == "/exit":
            os._exit(3)
        elif scope["path"] == "/hangs":
            await asyncio.sleep(60)
        elif scope["path"] == "/blocks":
            time.sleep(60)
        elif scope["path"] == "/raises":
            raise ValueError("a secret detail")
        elif scope["path"] == "/silent":
            return
        elif scope["path"] == "/bad":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"a b", b"c\r\nd: e")]})
            await send({"type": "http.response.body", "body": b"x"})
        elif scope["path"] == "/breaks":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            raise RuntimeError("in the midst")

    return web


@app.function(scaledown_window=2)
@wherry.asgi_app(custom_domains=["shop.example.com"])
def shop() -> Any:
    """Has a domain of its own, and says when its lifespan ends."""

    async def web(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                print(f"the shop hears {kind}", flush=True)
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        host = dict(scope["headers"])[b"host"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": host})

    return web


@app.function(allow_concurrent_inputs=100)
@wherry.web_server(8501, startup_timeout=60)
def streamlit() -> None:
    with open("/tmp/page.py", "w") as file:
        file.write("import streamlit as st\nst.title('Hello from Streamlit')\n")
    options = ["--server.port", "8501", "--server.headless", "true", "--browser.gatherUsageStats", "false"]
    subprocess.Popen(["python3", "-m", "streamlit", "run", "/tmp/page.py", *options])
