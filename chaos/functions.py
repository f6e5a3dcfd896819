"""The app under load: what its functions return can be told from outside, whoever asks, and however often."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wherry

APP = "chaos"
PERIOD_S = 2
BAD = 97  # every so many inputs of a map there is one that raises
# Deploys under load change it.
_ENV = {"CHAOS_VERSION": os.environ.get("CHAOS_VERSION", "1")}

app = wherry.App(APP)
volume = wherry.Volume.from_name("chaos", create_if_missing=True)
ticks = wherry.Dict.from_name("chaos-ticks", create_if_missing=True)


def answer(x: int) -> int:
    """What every function that is given a number returns."""
    return (x * 2654435761) % 1000003


def content(name: str, size: int) -> bytes:
    """The bytes of a file of that name."""
    block = hashlib.sha256(name.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


@app.function(env=_ENV, max_containers=3, allow_concurrent_inputs=12)
def work(x: int, seconds: float) -> list[int]:
    """An input of a map."""
    time.sleep(seconds)
    if x % BAD == BAD - 1:
        raise ValueError(f"bad {x}")
    return [x, answer(x)]


@app.function(env=_ENV, max_containers=2, allow_concurrent_inputs=8)
def spawned(x: int, seconds: float) -> list[int]:
    """A call that is asked for in one process, and whose result is fetched in another."""
    time.sleep(seconds)
    return [x, answer(x)]


@app.function(env=_ENV, max_containers=1, allow_concurrent_inputs=4)
def echo(data: bytes) -> bytes:
    """Return what is too large for a message, both ways."""
    return data


@app.function(env=_ENV, max_containers=2, allow_concurrent_inputs=4)
def values(count: int, first: int) -> Iterator[int]:
    """A generator."""
    for number in range(count):
        time.sleep(0.005)
        yield first + number


@app.function(env=_ENV, max_containers=1, allow_concurrent_inputs=4, volumes={"/files": volume})
def write(name: str, size: int) -> int:
    """Write a file. A write that is done again does the same."""
    # Whole or not at all, as a program does that may be killed at any point.
    part = Path("/files", f".{name}.{os.getpid()}.{time.monotonic_ns()}")
    part.write_bytes(content(name, size))
    part.replace(Path("/files", name))
    return size


@app.function(env=_ENV, min_containers=1, max_containers=2)
def lone(x: int) -> list[int]:
    """One call after the other."""
    return [x, answer(x), int(os.environ["CHAOS_VERSION"])]


@app.function(schedule=wherry.Period(seconds=PERIOD_S), min_containers=1, max_containers=1, allow_concurrent_inputs=20)
def tick() -> None:
    """Say that a tick has run, under the name of its call; again, where the service's disk is full at the moment."""
    while True:
        with contextlib.suppress(wherry.exception.Error):
            ticks.put(wherry.current_function_call_id(), time.time())
            return
        time.sleep(0.5)


@app.function(env=_ENV, min_containers=1, max_containers=1, allow_concurrent_inputs=100)
@wherry.asgi_app()
def site() -> Any:
    """Answers requests with what they asked, and websockets with what they say."""

    async def web(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": f"heard {message['text']}"})
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        said = json.dumps({"query": scope["query_string"].decode(), "sha": hashlib.sha256(body).hexdigest()}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(said)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    return web
