"""Functions that end otherwise than by returning."""

import os
import socket
import sys
import threading
import types
from typing import Any

import wherry

app = wherry.App("ends", image=wherry.Image.debian_slim())

TABLE = {"answer": 42}


class Locked(Exception):
    """Can't be pickled."""

    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


@app.function(max_containers=1)
def trouble(how: str) -> str:
    if how == "group":
        try:
            raise ExceptionGroup("two things", [ValueError("first"), ExceptionGroup("inner", [KeyError("second")])])
        except ExceptionGroup as group:
            group.add_note("they came together")
            raise
    if how == "chain":
        try:
            try:
                int("nonsense")
            except ValueError as error:
                raise LookupError("no such number") from error
        except LookupError:
            raise RuntimeError("while cleaning up")  # noqa: B904 - the context is what is tested
    if how == "foreign":
        module = types.ModuleType("only_in_the_container")
        exec("class Odd(Exception): pass", module.__dict__)
        sys.modules["only_in_the_container"] = module
        raise module.Odd("nobody else has it")
    if how == "keyboard":
        raise KeyboardInterrupt
    if how == "recursion":
        return trouble.local(how)
    if how == "locked":
        raise Locked
    if how == "huge":
        raise ValueError("x" * (3 << 20))
    return socket.gethostname()


@app.function(max_containers=1)
def die(how: str) -> None:
    if how == "exit":
        os._exit(7)
    if how == "segfault":
        import ctypes

        ctypes.string_at(0)


@app.function(max_containers=1, memory=(64, 96))
def hoard() -> int:
    kept: list[Any] = []
    while True:
        kept.append(bytearray(os.urandom(1 << 20)))


@app.function(max_containers=1, timeout=1)
def hold_the_interpreter(count: int) -> int:
    """One call into C, which nothing interrupts."""
    return sum(range(count))
