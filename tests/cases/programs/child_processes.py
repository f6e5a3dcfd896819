"""Processes that code in a container starts know where they are, and can call."""

import multiprocessing
import subprocess
import sys

import wherry

COMMANDS = {"children": "wherry run -q {file}"}
EXPECTED = {"children": (0, "False 2\nFalse 3\n")}
CODE = """
import wherry
print(wherry.is_local(), wherry.Function.lookup("case-children", "inner").remote(1))
"""
app = wherry.App("case-children")


@app.function()
def inner(x: int) -> int:
    return x + 1


def spawned(x: int) -> str:
    return f"{wherry.is_local()} {inner.remote(x)}"


@app.function()
def outer() -> list[str]:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return [done.stdout.strip() or done.stderr, *pool.map(spawned, [2])]


@app.local_entrypoint()
def main() -> None:
    print(*outer.remote(), sep="\n")
