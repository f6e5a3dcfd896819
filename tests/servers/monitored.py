"""An app of which every metric has something to tell. Deployed by test_prometheus.py."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import wherry

app = wherry.App("monitored")


@app.function(max_containers=1)
def works(number: int) -> int:
    return 2 * number


@app.function(max_containers=1)
def fails(number: int) -> int:
    raise ValueError(f"not {number}")


@app.function(max_containers=1)
def dies() -> None:
    os._exit(3)


@app.function(schedule=wherry.Period(hours=1), max_containers=1)
def nightly() -> None:
    """Is due once an hour."""


@app.function(max_containers=1)
@wherry.asgi_app()
def page() -> Callable[[dict[str, Any], Any, Any], Awaitable[None]]:
    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            status = 500 if scope["path"].endswith("broken") else 200
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b"text"})

    return answer
