"""`python -m wherry_service --state-dir DIR`: runs the service until it is told to stop."""

import argparse
import asyncio
import fcntl
import json
import os
import sys
import time
from functools import partial
from pathlib import Path

from wherry_service import own_log
from wherry_service.limits import MAX_STATE_DIR
from wherry_service.open_files import OpenFiles, raise_limit
from wherry_service.settings import Settings, load
from wherry_service.settings_key import SettingsError

LOCK_NAME = "server.lock"


def main() -> int:
    """Take the state directory's lock and serve; return the exit code."""
    parser = argparse.ArgumentParser(prog="wherry_service", description=__doc__)
    parser.add_argument("--state-dir", type=Path, help="where the service keeps everything")
    parser.add_argument("--default-state-dir", type=Path, help="the same, where the settings do not say")
    parser.add_argument("--config", type=Path, help="YAML file of settings (docs/configuration.md)")
    parser.add_argument("--listen", metavar="HOST:PORT", help="sets listen.address")
    parser.add_argument("--test-notify", action="store_true", help="post a test event to notify.url, and end")
    parser.add_argument("--dev-tls", action="store_true", help="sets tls.mode to dev")
    arguments = parser.parse_args()
    try:
        settings = load(
            arguments.config,
            **{
                "state_dir": arguments.state_dir,
                "listen.address": arguments.listen,
                "tls.mode": "dev" if arguments.dev_tls else None,
            },
        )
    except SettingsError as error:
        print(f"wherry: {error}", file=sys.stderr)
        return 1
    if arguments.test_notify:
        return _test_notify(settings)
    chosen = settings.state_dir or arguments.default_state_dir
    if chosen is None:
        parser.error("say where the service keeps everything: --state-dir, or state_dir in the settings")
    state_dir = Path(os.path.realpath(chosen))
    length = len(os.fsencode(state_dir))
    if length > MAX_STATE_DIR:
        print(
            f"wherry: the path of the state directory has {length} characters, and sockets below it "
            f"leave room for {MAX_STATE_DIR}: point WHERRY_STATE_DIR at a shorter one than {state_dir}",
            file=sys.stderr,
        )
        return 1
    own_log.begin(settings.log_level, settings.log_format)
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        state_dir.chmod(0o700)
        lock = os.open(state_dir / LOCK_NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        print(
            f"wherry: the state directory {state_dir} can't be made or written ({error.strerror}): point "
            "WHERRY_STATE_DIR at one of this user's",
            file=sys.stderr,
        )
        return 1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"a service for {state_dir} is already running", file=sys.stderr)
        return 0
    return _serve(state_dir, settings)


def _test_notify(settings: Settings) -> int:
    """Post a test event; return the exit code."""
    from wherry_service.errors import ServiceError  # noqa: PLC0415 - start-up cost: only for this
    from wherry_service.notify import notifier  # noqa: PLC0415 - start-up cost: as above
    from wherry_service.notify.settings import TEST, NotifySettings  # noqa: PLC0415 - start-up cost: as above

    try:
        found = NotifySettings.from_environment(settings.rooms)
    except ServiceError as error:
        print(f"wherry: {settings.told(error)}", file=sys.stderr)
        return 1
    if not found.url:
        print(
            "wherry: notify.url is not set: set WHERRY_NOTIFY_URL, or name the settings with --config", file=sys.stderr
        )
        return 1
    event = notifier.described(TEST, "This is a test of Wherry's notifications.", {}, time.time())
    problem, _ = notifier.tried(notifier.post_json, found.url, json.dumps(event).encode())
    print(f"wherry: {problem}" if problem else "The webhook took the test event.", file=sys.stderr)
    return 1 if problem else 0


def _serve(state_dir: Path, settings: Settings) -> int:
    # The service only forks to exec at once; gRPC's own handlers would log a warning each time.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    import uvloop  # noqa: PLC0415 - start-up cost: 100 ms, not for one that finds another serving

    from wherry_service.engines.docker import DockerEngine  # noqa: PLC0415 - start-up cost: as above
    from wherry_service.engines.docker_connection import DockerConnection  # noqa: PLC0415 - start-up cost: as above
    from wherry_service.engines.endpoint import OneEngine  # noqa: PLC0415 - start-up cost: as above
    from wherry_service.errors import ServiceError  # noqa: PLC0415 - start-up cost: as above
    from wherry_service.server import Service  # noqa: PLC0415 - start-up cost: the rest is loaded only by the one that serves
    from wherry_service.store.database import DatabaseTooNew  # noqa: PLC0415 - start-up cost: as above

    limit = raise_limit()

    async def serve() -> None:
        log_file = own_log.LogFile(state_dir / own_log.FILE_NAME, settings.log_max_bytes)
        watching = [asyncio.ensure_future(work) for work in (OpenFiles(limit).watch(), log_file.watch())]
        try:
            connection = DockerConnection(OneEngine(os.environ))
            await Service(state_dir, settings, partial(DockerEngine, connection=connection)).run()
        finally:
            for task in watching:
                task.cancel()

    try:
        uvloop.run(serve())
    except (DatabaseTooNew, ServiceError) as error:
        print(f"wherry: {settings.told(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
