"""Running a command in a container from the command line: with this terminal, or with plain streams."""

import contextlib
import os
import sys
import threading
from typing import Any

from wherry._connection.client import Client
from wherry._publish.shell import enter
from wherry._screen.terminal import is_terminal
from wherry.container_process import start
from wherry.exception import ConnectionError, Error
from wherry_proto.messages import ExecStart


def execute(
    client: Client,
    container_id: str,
    command: list[str],
    *,
    pty: bool | None,
    workdir: str = "",
    timeout: float = 0.0,
    user: str = "",
    env: dict[str, str] | None = None,
) -> int:
    """Run a command; return its exit code. `pty` None: a terminal if this process has one."""
    request = ExecStart(
        container_id=container_id, args=command, timeout_s=timeout, workdir=workdir, env=env or {}, user=user
    )
    if pty or (pty is None and is_terminal()):
        return enter(client, request)
    process: Any = start(client, request, text=False, bufsize=0)
    threading.Thread(target=_feed, args=(process,), daemon=True).start()
    errors = threading.Thread(target=copy_beside, args=(process.stderr, sys.stderr.buffer))
    errors.start()
    copy(process.stdout, sys.stdout.buffer)
    errors.join()
    return int(process.wait())


def copy(pieces: Any, target: Any) -> None:
    """Write each piece as it arrives."""
    for data in pieces:
        target.write(data)
        target.flush()


def copy_beside(pieces: Any, target: Any) -> None:
    """As `copy`, in a thread beside one that does the same with another stream: that one tells how it failed."""
    with contextlib.suppress(Error):
        copy(pieces, target)


def _feed(process: Any) -> None:
    try:
        # Not through the buffer: whoever waits in that at exit makes the interpreter complain.
        while data := os.read(sys.stdin.fileno(), 1 << 16):
            process.stdin.write(data)
            process.stdin.drain()
        process.stdin.write_eof()
        process.stdin.drain()
    except (ConnectionError, ValueError, OSError):
        return  # the command or this process has ended
