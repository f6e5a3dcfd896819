"""A key's way to a container and back, in `wherry container exec` beside `docker exec -it`."""

import os
import pty
import select
import signal
import subprocess
import sys
import tty

from benchmarks.timing import in_turn
from wherry import Sandbox

WITHIN_S = 10.0


class _Terminal:
    """A command with a terminal of its own."""

    def __init__(self, *command: str) -> None:
        self._ours, theirs = pty.openpty()
        # Echoed by the container's terminal alone.
        tty.setraw(theirs)
        self._process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)

    def until(self, wanted: bytes) -> None:
        """Read until that has come."""
        seen = b""
        while wanted not in seen:
            if not select.select([self._ours], [], [], WITHIN_S)[0]:
                raise TimeoutError(f"{wanted!r} did not come within {WITHIN_S:g} s, but {seen!r}")
            seen += os.read(self._ours, 1 << 16)

    def key(self) -> None:
        """Press one, and see it echoed."""
        os.write(self._ours, b"k")
        self.until(b"k")

    def close(self) -> None:
        os.kill(self._process.pid, signal.SIGHUP)
        os.close(self._ours)
        self._process.wait(WITHIN_S)


def measure_shell(rows: dict[str, object], rounds: int) -> None:
    """Measure the echo of a key in one container, through the service and through docker's own client."""
    program = ["sh", "-c", "echo re''ady; exec cat"]
    with Sandbox.create(timeout=300) as sandbox:
        engine_id = subprocess.run(
            ["docker", "ps", "-q", "--filter", f"label=wherry.container={sandbox.object_id}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        ours = _Terminal(sys.executable, "-m", "wherry.cli.main", "container", "exec", sandbox.object_id, *program)
        plain = _Terminal("docker", "exec", "-it", engine_id, *program)
        try:
            ours.until(b"ready")
            plain.until(b"ready")
            first, second = in_turn([ours.key, plain.key], rounds=10 * rounds, block=20)
        finally:
            ours.close()
            plain.close()
    rows["shell_echo"], rows["docker_echo"] = first.row(), second.row()
