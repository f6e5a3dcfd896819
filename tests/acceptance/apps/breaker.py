"""Apps whose code speaks on its container's sockets itself, and one beside them that is to be answered."""

from collections.abc import Iterator
from typing import Any

import wherry

app = wherry.App("breaker", image=wherry.Image.debian_slim())
web = wherry.App("breaker-web", image=wherry.Image.debian_slim())
beside = wherry.App("beside", image=wherry.Image.debian_slim())


def say(head: bytes, body: bytes) -> None:
    """Send a frame on the runner's own connection, INPUT in it being the input that runs."""
    import os
    import socket
    import struct

    own = None
    for name in os.listdir("/proc/self/fd"):
        try:
            found = socket.socket(fileno=os.dup(int(name)))
            if str(found.getpeername()).endswith("runner.sock"):
                own = found
        except OSError:
            continue
    assert own is not None
    head = head.replace(b"INPUT", str(wherry.current_input_id()).encode())
    own.sendall(struct.pack(">II", len(head), len(body)) + head + body)


@app.function(max_containers=1)
def speak(head: bytes, body: bytes, hold_s: float = 8.0) -> str:
    """Send a frame; return what happened if nothing."""
    import time

    say(head, body)
    time.sleep(hold_s)
    return "still here"


# A request is not run again where its container has ended.
@web.function(max_containers=6)
@wherry.asgi_app()
def speaker() -> Any:
    import asyncio
    import json

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        frame = json.loads((await receive())["body"])
        say(bytes.fromhex(frame["head"]), bytes.fromhex(frame["body"]))
        await asyncio.sleep(8)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"still here"})

    return answer


@app.function(max_containers=1, timeout=120)
def carry_out(program: str) -> str:
    """Run a program in a process of its own; return what it printed."""
    import subprocess
    import sys

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return ran.stdout if not ran.returncode else f"it failed: {ran.stderr}"


@app.function()
def size(data: bytes) -> int:
    return len(data)


@app.function()
def values(count: int) -> Iterator[int]:
    yield from range(count)


@beside.function(min_containers=1)
def echo(value: int) -> int:
    return value


@web.function(max_containers=1)
@wherry.asgi_app()
def site() -> Any:
    import os

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        kind = scope["path"]
        headers = {
            "/large": [(b"x-large", b"y" * (2 << 20))],
            "/many": [(b"x", b"y")] * 50_000,
            "/pid": [],
            "/status": [],
        }[kind]
        status = 10**400 if kind == "/status" else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

    return answer
