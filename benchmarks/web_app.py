"""The app behind a URL that is measured: in a container, and on uvicorn beside it."""

from collections.abc import AsyncIterator

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

EVENTS = 1_000


def make() -> FastAPI:
    """Return the app."""
    api = FastAPI()

    @api.get("/")
    async def hello() -> dict[str, str]:
        return {"hello": "world"}

    @api.get("/events")
    async def events() -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            for number in range(EVENTS):
                yield f"data: {number}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    @api.websocket("/echo")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text(await socket.receive_text())
        except WebSocketDisconnect:
            pass

    return api


api = make()
