"""What a client asked for and was told, line by line: it outlives the client, whoever kills it, and whenever."""

import contextlib
import itertools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# As much of an error as tells what it is.
_ERROR_LENGTH = 2000


class Answer:
    """What came back for one thing that was asked for: a context's own, filled in as it comes."""

    def __init__(self, journal: "Journal", number: int) -> None:
        self._journal = journal
        self._number = number
        self.facts: dict[str, Any] = {}
        self.error: str = ""

    def part(self, **facts: Any) -> None:
        """Record a part of an answer that comes in parts; lists of one name are joined."""
        self._journal.write("part", op=self._number, facts=facts)


class Journal:
    """One life of one client: appends to the client's file. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        # No buffer: what is written is the kernel's, also when this process is killed a moment later.
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        self.life = os.urandom(4).hex()
        self._numbers = itertools.count(1)
        self.write("life", pid=os.getpid())

    def write(self, kind: str, **facts: Any) -> None:
        """Append one record."""
        record = {"is": kind, "at": time.monotonic(), "life": self.life, **facts}
        os.write(self._file, json.dumps(record).encode() + b"\n")

    @contextlib.contextmanager
    def asking(self, what: str, **facts: Any) -> Iterator[Answer]:
        """Record that something is asked for, and what came of it. An error is recorded and goes no further."""
        number = next(self._numbers)
        answer = Answer(self, number)
        self.write("ask", op=number, what=what, facts=facts)
        try:
            yield answer
        except Exception as error:  # noqa: BLE001 - whatever a client is told is judged later, by the invariants
            answer.error = f"{type(error).__module__}.{type(error).__name__}: {error}"[:_ERROR_LENGTH]
            self.write("failed", op=number, error=answer.error, facts=answer.facts)
        else:
            self.write("did", op=number, facts=answer.facts)


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Read a journal. A last line that its writer did not finish is left out."""
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n")[:-1]:
        yield json.loads(line)


@dataclass
class Operation:
    """One thing that a client asked for."""

    client: str
    life: str
    what: str
    asked_at: float
    asked: dict[str, Any]
    # None: no answer. The client was killed, or still waits.
    ended_at: float | None = None
    error: str = ""
    answer: dict[str, Any] = field(default_factory=dict)
    # When something of the answer was last heard.
    heard_at: float = 0.0

    @property
    def did(self) -> bool:
        return self.ended_at is not None and not self.error

    @property
    def failed(self) -> bool:
        return bool(self.error)


def operations(client: str, lines: Iterator[dict[str, Any]]) -> list[Operation]:
    """Return what a client asked for, in that order."""
    found: dict[tuple[str, int], Operation] = {}
    for line in lines:
        if line["is"] == "life":
            continue
        key = (line["life"], line["op"])
        if line["is"] == "ask":
            operation = Operation(client, line["life"], line["what"], line["at"], line["facts"])
            operation.heard_at = line["at"]
            found[key] = operation
            continue
        operation = found[key]
        operation.heard_at = line["at"]
        for name, value in line["facts"].items():
            held = operation.answer.get(name)
            operation.answer[name] = [*held, *value] if isinstance(held, list) else value
        if line["is"] != "part":
            operation.ended_at = line["at"]
            operation.error = line.get("error", "")
    return list(found.values())
