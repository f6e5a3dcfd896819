"""Functions that wait rather than work, and sockets that stay open."""

import time
from typing import Any

import wherry

app = wherry.App("load-waiting")


@app.function(max_containers=60, timeout=60)
def wait(seconds: float) -> str:
    import socket

    time.sleep(seconds)
    return socket.gethostname()


@app.function(max_containers=1)
def quick(x: int) -> int:
    return x


@app.function(max_containers=1)
@wherry.concurrent(max_inputs=1)
def held(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@app.function(max_containers=2)
@wherry.concurrent(max_inputs=1000)
@wherry.asgi_app()
def echo() -> Any:
    async def serve(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"there"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})

    return serve
