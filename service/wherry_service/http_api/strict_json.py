"""JSON as it is let in: no value twice, no numbers that JSON has not, no depth that a reader may choke on."""

import asyncio
import gc
import json
import resource
import sys
from collections.abc import Callable
from typing import Any, TypeVar

# Arrays and objects within each other.
MAX_DEPTH = 200
# Longer texts are read in a thread, one at a time: what they become may be thirty times as large.
READ_HERE = 64 << 10
# Nothing else of this process runs while one is read: those that are longer still are read in a process of their own.
READ_IN_THREAD = 1 << 20
# Of that process.
_SECONDS, _MEMORY = 20, 2 << 30
_CHECK = "from wherry_service.http_api.strict_json import check_input; check_input()"

Made = TypeVar("Made")


class RawJson(bytes):
    """A value that is JSON already."""


class Reader:
    """Reads JSON that strangers have written."""

    def __init__(self) -> None:
        self._alone = asyncio.Lock()

    async def make(self, data: bytes, make: Callable[[bytes], Made]) -> Made:
        """Return what `make` makes of a text of at most `READ_IN_THREAD` bytes; what it parses is to end with it."""
        if len(data) <= READ_HERE:
            return make(data)
        async with self._alone:
            return await asyncio.to_thread(make, data)

    async def check(self, data: bytes) -> None:
        """Raise ValueError that says what is wrong in a text of any length."""
        if len(data) <= READ_IN_THREAD:
            await self.make(data, _check)
            return
        async with self._alone:
            await _check_apart(data)


async def _check_apart(data: bytes) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", _CHECK, stdin=pipe, stdout=pipe, env={})
    try:
        async with asyncio.timeout(_SECONDS):
            said, _ = await process.communicate(data)
    except TimeoutError:
        raise ValueError(f"it takes more than {_SECONDS} s to read") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ValueError("it takes too much memory or time to read")
    if said:
        raise ValueError(said.decode("utf-8", "replace"))


def check_input() -> None:
    """Write to standard output what is wrong in the JSON at standard input, nothing where it is right."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    try:
        _check(sys.stdin.buffer.read())
    except ValueError as error:
        sys.stdout.buffer.write(str(error).encode("utf-8", "replace"))


def _check(data: bytes) -> None:
    parse(data)


def parse(data: bytes) -> Any:
    """Return the value; raise ValueError that says what is wrong."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8: {error.reason} at byte {error.start}") from None
    if _depth(text) > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    # Nothing of what is read is garbage yet: looking for some, again and again, would take eight times as long.
    collects = gc.isenabled()
    gc.disable()
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    finally:
        if collects:
            gc.enable()


def _depth(text: str) -> int:
    """Return how deep brackets are within each other, at most `MAX_DEPTH` + 1; of what is no JSON, any number."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    # Outside of strings: every other piece between quotes that are not escaped.
    for place, piece in enumerate(text.replace("\\\\", "").replace('\\"', "").split('"')):
        if place % 2:
            continue
        if "[" not in piece and "{" not in piece:
            depth -= piece.count("]") + piece.count("}")
            continue
        for letter in piece:
            if letter in "[{":
                depth += 1
                if depth > deepest:
                    deepest = depth
                    if deepest > MAX_DEPTH:
                        return deepest
            elif letter in "]}":
                depth -= 1
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"an object has the key {twice[:64]!r} twice")
    return found


def _constant(text: str) -> Any:
    raise ValueError(f"it has {text}, which is no number of JSON")


def dump(value: Any) -> bytes:
    """Return a value as JSON; of an object, what is `RawJson` goes in as it is."""
    if isinstance(value, RawJson):
        return bytes(value)
    if isinstance(value, dict) and any(isinstance(item, RawJson) for item in value.values()):
        rows = (json.dumps(name).encode() + b":" + dump(item) for name, item in value.items())
        return b"{" + b",".join(rows) + b"}"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
