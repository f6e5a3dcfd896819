"""`python -m wherry_service.doctor --state-dir DIR`: what this machine lacks for a service, one JSON object a line."""

import argparse
import dataclasses
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from wherry_service.doctor.engine import EngineDoctor, mend_of
from wherry_service.doctor.finding import Finding, wrong
from wherry_service.doctor.machine import disk, existing, memory, ports, state_directory
from wherry_service.engines.docker_connection import DockerConnection
from wherry_service.engines.endpoint import OneEngine
from wherry_service.errors import ServiceError
from wherry_service.images.settings import ImageSettings
from wherry_service.ingress.settings import DEFAULT_PORT, HttpSettings
from wherry_service.limits import MAX_STATE_DIR
from wherry_service.settings import Settings, load


def main() -> int:
    """Print what is found; return 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="wherry_service.doctor", description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True, help="where the service keeps everything")
    parser.add_argument("--config", type=Path, help="YAML file of settings")
    arguments = parser.parse_args()
    is_well = True
    for finding in findings(arguments.state_dir, arguments.config):
        is_well = is_well and finding.ok
        print(json.dumps(dataclasses.asdict(finding)), flush=True)
    return 0 if is_well else 1


def findings(state_dir: Path, config: Path | None) -> Iterator[Finding]:
    """Yield what is found on this machine, one after the other."""
    try:
        settings = load(config)
        images, http = ImageSettings.from_environment(settings.rooms), HttpSettings.from_environment(settings.rooms)
    except ServiceError as error:
        yield wrong("Settings", str(error), "wherry config show; docs/configuration.md has all settings")
        return
    state_dir = settings.state_dir or state_dir
    is_served = _is_served(state_dir)
    try:
        connection = DockerConnection(OneEngine(os.environ))
    except ServiceError as error:
        yield wrong("Engine", str(error), mend_of(str(error)))
    else:
        yield from EngineDoctor(connection, state_dir, images, is_served=is_served).findings()
    yield state_directory(state_dir, MAX_STATE_DIR)
    yield disk("Disk", existing(state_dir))
    yield memory()
    yield from ports(_ports(settings, http), is_served=is_served)


def _ports(settings: Settings, http: HttpSettings) -> list[tuple[str, str, int]]:
    found = [("http.port", http.host, http.port or DEFAULT_PORT)]
    host, _, port = settings.listen.rpartition(":")
    return [*found, ("listen.address", host, int(port))] if host and int(port) else found


def _is_served(state_dir: Path) -> bool:
    """Whether a service holds the lock of the state directory."""
    try:
        with (state_dir / "server.lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


if __name__ == "__main__":
    sys.exit(main())
