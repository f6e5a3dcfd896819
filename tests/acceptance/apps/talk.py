"""Functions that print."""

import asyncio
import ctypes
import os
import subprocess
import sys
import time
from typing import Any

import wherry

app = wherry.App("talk", image=wherry.Image.debian_slim())


@app.function(max_containers=1, allow_concurrent_inputs=4)
async def talk(name: str) -> str:
    for i in range(3):
        print(f"{name} {i}")
        print(f"{name} {i} to stderr", file=sys.stderr)
        await asyncio.sleep(0.02)
    subprocess.run(["echo", "from a subprocess"], check=True)
    return name


@app.function(max_containers=1, secrets=[wherry.Secret.from_dict({"KEY": "hunter22-and-more"})])
def tick(count: int, every_s: float) -> int:
    for number in range(count):
        print(f"tick {number} {time.time()} {os.environ['KEY']}")
        time.sleep(every_s)
    return count


@app.function(max_containers=1)
def die(how: str) -> None:
    print("about to", how)
    if how == "crash":
        ctypes.string_at(0)
    if how == "raise":
        raise ValueError("no good")


@app.function(max_containers=1, memory=(64, 96))
def hoard() -> None:
    print("about to hoard")
    kept: list[Any] = []
    while True:
        kept.append(bytearray(1 << 20))


stubborn = wherry.App("stubborn", image=wherry.Image.debian_slim())


@stubborn.function(max_containers=1)
def linger() -> None:
    print("lingering")
    time.sleep(3600)
