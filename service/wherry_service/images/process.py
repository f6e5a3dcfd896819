"""A subprocess whose output is followed line by line, and which ends with the one who waits for it."""

import asyncio
import contextlib
import os
import signal
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
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(env or {})},
        limit=_LINE_LIMIT,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        if stdin is not None and process.stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        while line := await _line(process.stdout):
            on_line(line.decode(errors="replace").rstrip("\r\n"))
        return await process.wait()
    finally:
        if process.returncode is None:
            await _end(process, grace_s)


async def _end(process: asyncio.subprocess.Process, grace_s: float) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), grace_s)
            return


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:  # a line over the limit: what was read of it is dropped
        return b"[a line of over 1 MiB was left out]\n"
