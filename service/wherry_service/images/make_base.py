"""`python -m wherry_service.images.make_base [--check]`: makes the base that this Python's programs get, if need be.

With `--check` it is not made: exit 1 where it is not there. What is printed last says which way it was made.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from wherry_service.engines.docker import DockerEngine
from wherry_service.engines.docker_connection import DockerConnection
from wherry_service.engines.endpoint import OneEngine
from wherry_service.engines.engine import Engine, EngineError
from wherry_service.errors import ServiceError
from wherry_service.images import host
from wherry_service.images.base import SUITES, BaseImages, tag_of
from wherry_service.images.base_ways import WAY_LABEL, WAYS
from wherry_service.images.pythons import nearest
from wherry_service.images.settings import ImageSettings
from wherry_service.settings import load


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether it is there")
    arguments = parser.parse_args()
    try:
        settings = ImageSettings.from_environment(load(None).rooms)
        engine = DockerEngine(connection=DockerConnection(OneEngine(os.environ)))
        return asyncio.run(_run(engine, settings, arguments.check, print))
    except (ServiceError, EngineError) as error:
        print(f"wherry: {error}", file=sys.stderr)
        return 1


async def _run(engine: Engine, settings: ImageSettings, only_check: bool, tell: Callable[[str], None]) -> int:
    version = nearest(f"{sys.version_info[0]}.{sys.version_info[1]}", bool(settings.python))
    if version not in SUITES:
        tell(f"the base with Python {version} is pulled when it is needed: images.python says from where")
        return 0
    tag = tag_of(version)
    try:
        labels = await engine.image_labels(tag)
        if labels is None and only_check:
            tell(f"{tag} is not there")
            return 1
        if labels is None:
            with tempfile.TemporaryDirectory(prefix="wherry-base-") as folder:
                await BaseImages(engine, Path(folder), settings).ensure(version, await host.find_build_cli(), tell)
            labels = await engine.image_labels(tag) or {}
        tell(f"{tag} {WAYS.get(labels.get(WAY_LABEL, ''), 'is there')}; images.base chooses another way")
        return 0
    finally:
        await engine.close()


if __name__ == "__main__":
    sys.exit(main())
