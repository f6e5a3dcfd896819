"""A FastAPI app with all that ASGI has."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, UploadFile, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, Response, StreamingResponse

PAGE = """<!doctype html><title>Wherry</title><link rel=stylesheet href="static/style.css">
<h1 id=title>plain</h1><ul id=chat></ul>
<form id=form method=post enctype=multipart/form-data action=upload><input type=file name=file id=file></form>
<script src="static/page.js"></script>"""

SCRIPT = """
const add = text => { const li = document.createElement("li"); li.textContent = text;
                      document.getElementById("chat").append(li); };
document.getElementById("title").textContent = "scripted " +
  getComputedStyle(document.getElementById("title")).color;
if (location.hash === "#upload") {
  const data = new DataTransfer();
  data.items.add(new File(["a".repeat(300000)], "a.txt"));
  document.getElementById("file").files = data.files;
  document.getElementById("form").submit();
} else {
  const socket = new WebSocket(location.href.replace("http", "ws").split("#")[0] + "ws");
  socket.onmessage = event => { add("heard " + event.data); socket.close(4001, "enough"); };
  socket.onopen = () => socket.send("hello");
  socket.onclose = event => add("closed " + event.code);
}
"""


def make() -> FastAPI:
    seen: dict[str, Any] = {"disconnects": 0, "closed": []}

    @asynccontextmanager
    async def lifespan(web: FastAPI) -> AsyncIterator[dict[str, str]]:
        print("lifespan began")
        yield {"made": "at start"}
        print("lifespan ended")

    web = FastAPI(lifespan=lifespan)

    @web.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE)

    @web.get("/static/style.css")
    async def style() -> Response:
        return Response("h1 { color: rgb(1, 2, 3) }", media_type="text/css")

    @web.get("/static/page.js")
    async def script() -> Response:
        return Response(SCRIPT, media_type="text/javascript")

    @web.post("/upload")
    async def upload(file: UploadFile) -> HTMLResponse:
        return HTMLResponse(f"<p id=got>got {file.filename} of {len(await file.read())}</p>")

    @web.api_route("/echo/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    async def echo(path: str, request: Request) -> dict[str, Any]:
        body = await request.body()
        return {
            "method": request.method,
            "path": path,
            "raw_path": request.scope["raw_path"].decode(),
            "root_path": request.scope["root_path"],
            "query": request.url.query,
            "headers": [[k.decode(), v.decode("latin-1")] for k, v in request.headers.raw],
            "client": request.client.host if request.client else "",
            "scheme": request.url.scheme,
            "body": body.decode(),
            "state": request.state.made,
        }

    @web.get("/events")
    async def events(count: int = 3, pause: float = 0.0) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            for index in range(count):
                yield f"data: {index} {time.time()}\n\n"
                if pause:
                    await asyncio.sleep(pause)

        return StreamingResponse(lines(), media_type="text/event-stream")

    @web.post("/sum")
    async def digest(request: Request) -> dict[str, Any]:
        digest, size, pieces = hashlib.sha256(), 0, 0
        async for chunk in request.stream():
            digest.update(chunk)
            size += len(chunk)
            pieces += 1
        return {"sha256": digest.hexdigest(), "size": size, "pieces": pieces}

    @web.get("/bytes")
    async def download(size: int) -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            left = size
            while left:
                yield b"z" * min(left, 1 << 20)
                left -= min(left, 1 << 20)

        return StreamingResponse(chunks(), headers={"content-length": str(size)})

    @web.get("/waits")
    async def waits(request: Request) -> StreamingResponse:
        async def forever() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"."
                    await asyncio.sleep(0.02)
            finally:
                seen["disconnects"] += 1

        return StreamingResponse(forever())

    @web.get("/seen")
    async def what() -> dict[str, Any]:
        return seen

    @web.websocket("/ws")
    async def talk(socket: WebSocket) -> None:
        await socket.accept(subprotocol="chat" if "chat" in socket.scope["subprotocols"] else None)
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    raise WebSocketDisconnect(message["code"])
                if message.get("text") == "close":
                    await socket.close(4002, "as asked")
                    return
                if message.get("text") is not None:
                    await socket.send_text(message["text"])
                else:
                    await socket.send_bytes(message["bytes"])
        except WebSocketDisconnect as gone:
            seen["closed"].append(gone.code)

    return web
