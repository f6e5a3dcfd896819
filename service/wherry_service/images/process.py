"""A subprocess whose output is followed line by line, and which ends with the one who waits for it."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

_LINE_LIMIT = 1 << 20


async def follow(
    command: Sequence[str],
    on_line: Callable[[str], None],
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    grace_s: float = 5.0,
) -> int:
    """Run a command, hand each line of its output over, and return its exit code.

    When cancelled it is asked to end, and killed if it has not within `grace_s` seconds.
    """
    # Not asyncio's own: uvloop forks, and copying the page tables of a service takes it 5 ms; this is a vfork.
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )
    reader = asyncio.StreamReader(limit=_LINE_LIMIT)
    transport: asyncio.ReadTransport | None = None
    try:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), process.stdout
        )
        if stdin is not None:
            await asyncio.to_thread(_feed, process, stdin)
        while line := await _line(reader):
            on_line(line.decode(errors="replace").rstrip("\r\n"))
        return await asyncio.to_thread(process.wait)
    finally:
        if transport is not None:
            transport.close()
        if process.returncode is None:
            await _end(process, grace_s)


def _feed(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdin is not None
    # One that ends without reading it says why by its output and its exit code.
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(text)


async def _end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, grace_s)
            return


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:  # a line over the limit: what was read of it is dropped
        return b"[a line of over 1 MiB was left out]\n"
