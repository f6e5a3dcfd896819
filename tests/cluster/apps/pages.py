"""Web endpoints, one at a name that the service makes and one at a domain of its own; both need no package."""

from collections.abc import Awaitable, Callable
from typing import Any

import wherry

app = wherry.App("pages", image=wherry.Image.debian_slim())

Asgi = Callable[[dict[str, Any], Any, Callable[[dict[str, Any]], Awaitable[None]]], Awaitable[None]]


@app.cls(min_containers=1)
class Site:
    @wherry.asgi_app(label="page")
    def page(self) -> Asgi:
        return tell

    @wherry.asgi_app(label="shop", custom_domains=["shop.test"])
    def shop(self) -> Asgi:
        return tell


async def tell(scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Answer with the method and URL as this app sees them."""
    host = dict(scope["headers"])[b"host"].decode()
    body = f"{scope['method']} {scope['scheme']}://{host}{scope['path']}\n".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
