"""`python -m wherry_service --state-dir DIR`: runs the service until it is told to stop."""

import argparse
import fcntl
import logging
import os
import re
import sys
from pathlib import Path

LOCK_NAME = "server.lock"
_SIZE = re.compile(r"(\d+)\s*(?:([KMGT])(i?)B?|B)?\Z", re.IGNORECASE)
# The path of a unix socket has at most 107 bytes; the longest here is DIR/run/co-ULID/runner.sock.
MAX_STATE_DIR = 107 - len("/run/co-/runner.sock") - 26


def main() -> int:
    """Take the state directory's lock and serve; return the exit code."""
    parser = argparse.ArgumentParser(prog="wherry_service", description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True, help="where the service keeps everything")
    state_dir = parser.parse_args().state_dir.resolve()
    try:
        logs_max_bytes = read_size("WHERRY_LOGS_MAX_BYTES", os.environ.get("WHERRY_LOGS_MAX_BYTES", "1GiB"))
    except ValueError as error:
        print(f"wherry: {error}", file=sys.stderr)
        return 1
    length = len(os.fsencode(state_dir))
    if length > MAX_STATE_DIR:
        print(
            f"wherry: the path of the state directory has {length} characters, and sockets below it "
            f"leave room for {MAX_STATE_DIR}: point WHERRY_STATE_DIR at a shorter one than {state_dir}",
            file=sys.stderr,
        )
        return 1
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    state_dir.chmod(0o700)
    lock = os.open(state_dir / LOCK_NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"a service for {state_dir} is already running", file=sys.stderr)
        return 0
    # The service only forks to exec at once; gRPC's own handlers would log a warning each time.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    import uvloop

    from wherry_service.ingress.settings import SettingsError
    from wherry_service.server import Service  # the rest is loaded only by the one that serves
    from wherry_service.store.database import DatabaseTooNew

    async def serve() -> None:
        await Service(state_dir, logs_max_bytes=logs_max_bytes).run()

    try:
        uvloop.run(serve())
    except (DatabaseTooNew, SettingsError) as error:
        print(f"wherry: {error}", file=sys.stderr)
        return 1
    return 0


def read_size(name: str, text: str) -> int:
    """Return bytes of "500000", "200MB" or "2GiB"; raise ValueError naming the setting."""
    match = _SIZE.match(text.strip())
    if match is None:
        raise ValueError(f"{name} is {text!r}, which is no size: write bytes, or for example 200MB or 2GiB")
    number, unit, binary = match.groups()
    power = "KMGT".index(unit.upper()) + 1 if unit else 0
    scale: int = (1024 if binary else 1000) ** power
    return int(number) * scale


if __name__ == "__main__":
    sys.exit(main())
