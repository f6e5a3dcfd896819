"""`python -m wherry_service.purge --state-dir DIR`: what Wherry keeps on this machine for a state directory, as JSON.

With `--remove` it is removed. The service must not run: its lock is held meanwhile. What other state directories keep
in the same engine stays, and so does what Wherry has not made.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import sys
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from wherry_service.engines.docker_purge import DockerStock
from wherry_service.engines.docker_stock import Kept, KeptImage, Stock, bytes_of
from wherry_service.engines.engine import EngineError
from wherry_service.errors import ServiceError
from wherry_service.host import database_url
from wherry_service.ids import instance_of
from wherry_service.settings import Settings, load
from wherry_service.settings_key import SettingsError
from wherry_service.store import kept
from wherry_service.store.schema import images

_LOCK = "server.lock"
# What images have for an id that are bases of any.
_OF_A_BASE = ""


class PurgeError(Exception):
    """Nothing may be removed; the message says why."""


@dataclass(slots=True)
class Inventory:
    """What there is of one state directory."""

    state_dir: Path
    parts: list[kept.Size]
    containers: list[Kept] = field(default_factory=list)
    networks: list[Kept] = field(default_factory=list)
    volumes: list[Kept] = field(default_factory=list)
    images: list[KeptImage] = field(default_factory=list)
    # Why images stay that may be this directory's; "": none do.
    images_stay: str = ""
    # Why nothing in the engine is known; "": it answered.
    engine_error: str = ""
    # What is kept elsewhere, and stays.
    elsewhere: list[str] = field(default_factory=list)
    # What of it is in this directory, and stays there.
    stays: frozenset[Path] = frozenset()
    # What could not be removed, with the reason.
    left: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "state_dir": str(self.state_dir),
            "parts": [
                {"name": one.name, "bytes": one.num_bytes, "files": one.num_files, "complete": one.complete}
                for one in self.parts
                if one.num_bytes
            ],
            "containers": len(self.containers),
            "networks": len(self.networks),
            "volumes": len(self.volumes),
            "images": len(self.images),
            "images_bytes": bytes_of(self.images),
            "images_stay": self.images_stay,
            "engine_error": self.engine_error,
            "elsewhere": self.elsewhere,
            "left": self.left,
        }


async def look(state_dir: Path, settings: Settings, engine: DockerStock, with_images: bool) -> Inventory:
    """Return what there is."""
    stays = _staying(state_dir, settings)
    # Any directory may have "logs" and "images" in it; a service has made those of its own.
    is_own = (state_dir / _LOCK).exists()
    parts = await asyncio.to_thread(kept.sizes, state_dir, without=stays) if is_own else []
    found = Inventory(state_dir, parts, elsewhere=_elsewhere(settings), stays=stays)
    try:
        stock = await engine.stock()
    except EngineError as error:
        found.engine_error = str(error)
        return found
    instance = instance_of(state_dir / "run")
    found.containers = [one for one in stock.containers if one.instance == instance]
    found.networks = [one for one in stock.networks if one.instance == instance]
    found.volumes = [one for one in stock.volumes if one.instance == instance]
    if with_images:
        found.images, found.images_stay = await asyncio.to_thread(_images, state_dir, settings, stock, instance, engine)
    return found


def _images(
    state_dir: Path, settings: Settings, stock: Stock, instance: str, engine: DockerStock
) -> tuple[list[KeptImage], str]:
    """Return which images may go, and why others stay: images have no owner, all services of an engine share them."""
    others = _others(stock, instance, is_local=engine.is_local())
    theirs: set[str] = set()
    for place in others.values():
        ids = _ids_in(Path(place) / "wherry.db") if place else None
        if ids is None:
            which = f"the state directory {place}" if place else "another state directory"
            return [], f"{which} uses this engine too, and it can't be told which images are needed there"
        theirs |= ids
    # A service that has stopped may have left nothing by which it is known: what is not of this one stays.
    going = _own_ids(state_dir, settings) - theirs
    if not (others or any(one.instance != instance for one in stock.volumes)):
        going.add(_OF_A_BASE)
    found = [image for image in stock.images if image.image_id in going]
    stay = len(stock.images) - len(found)
    places = ", ".join(sorted(others.values())) or "a service that is not known here"
    return found, f"{stay} more are shared with, or belong to, {places}" if stay else ""


def _others(stock: Stock, instance: str, *, is_local: bool) -> dict[str, str]:
    """Return the other services that use the engine, with their state directories ("": not known)."""
    found: dict[str, str] = {}
    for one in (*stock.containers, *stock.networks):
        if one.instance != instance:
            found[one.instance] = one.state_dir or found.get(one.instance, "")
    active = {one.instance for one in stock.containers}
    # A network stays when its service has stopped, and also when the state directory has gone. Of another machine's
    # engine that can't be told.
    return {
        name: place
        for name, place in found.items()
        if name in active or not (is_local and place and kept.is_gone(place))
    }


def _own_ids(state_dir: Path, settings: Settings) -> set[str]:
    if not settings.database_url:
        return _ids_in(state_dir / "wherry.db") or set()
    engine = sa.create_engine(database_url(settings, state_dir), poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            return set(connection.scalars(sa.select(images.c.image_id)))
    except sa.exc.SQLAlchemyError:
        return set()


def _ids_in(database: Path) -> set[str] | None:
    """Return the images that a service knows by its SQLite database; None where that can't be read."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{urllib.parse.quote(str(database))}?mode=ro", uri=True)) as one:
            return {str(row[0]) for row in one.execute("select image_id from images")}
    except sqlite3.Error:
        return None


def _elsewhere(settings: Settings) -> list[str]:
    found = []
    if settings.database_url:
        url = sa.make_url(settings.database_url)
        found.append(f"the database {url.database} at {url.host or 'this host'} (database.url)")
    if settings.volumes_dir is not None:
        found.append(f"volumes in {settings.volumes_dir} (volumes.dir)")
    if bucket := settings.rooms.get("WHERRY_BLOBS_URL", ""):
        found.append(f"large values in {bucket} (blobs.url)")
    return found


def _staying(state_dir: Path, settings: Settings) -> frozenset[Path]:
    """Return what is in the state directory and is, or has in it, a directory that the settings name."""
    if settings.volumes_dir is None:
        return frozenset()
    named = Path(os.path.realpath(settings.volumes_dir))
    try:
        return frozenset(path for path in state_dir.iterdir() if path == named or path in named.parents)
    except OSError:
        return frozenset()


async def remove(found: Inventory, engine: DockerStock) -> None:
    """Remove it, as far as that goes; what is left is in `left`."""
    if mounts := kept.mounts_below(found.state_dir):
        raise PurgeError(
            f"{mounts[0]} is still mounted, and what is in it is not this directory's: umount it, or start and stop "
            "the service once"
        )
    await _remove_of_engine(found, engine)
    for part in kept.PARTS:
        for path in kept.entries(found.state_dir, part):
            if path.name != _LOCK and path not in found.stays:
                _remove_path(path, found.left)
    if not found.left:
        _remove_path(found.state_dir / _LOCK, found.left)
    if found.engine_error:
        found.left.append(f"what is in the engine: {found.engine_error}")
    try:
        found.state_dir.rmdir()
    except FileNotFoundError:
        return
    except OSError:
        found.left += [
            f"{path}: not Wherry's"
            for path in _strangers(found.state_dir, [text.partition(": ")[0] for text in found.left])
            if path not in found.stays
        ]


async def _remove_of_engine(found: Inventory, engine: DockerStock) -> None:
    for kind, ones, how in (
        ("container", found.containers, engine.remove),
        ("network", found.networks, engine.remove_network),
        ("volume", found.volumes, engine.remove_volume),
    ):
        for one in ones:
            try:
                await how(one.engine_id)
            except EngineError as error:
                found.left.append(f"{kind} {one.engine_id[:40]}: {error}")
    # The latest first: what others are made of goes after them.
    for image in sorted(found.images, key=lambda image: len(image.layers), reverse=True):
        for tag in image.tags:
            try:
                if not await engine.remove_image(tag):
                    found.left.append(f"image {tag}: a container uses it")
            except EngineError as error:
                found.left.append(f"image {tag}: {error}")


def _remove_path(path: Path, left: list[str]) -> None:
    def failed(_: object, where: str, error: BaseException) -> None:
        if isinstance(error, FileNotFoundError):
            return
        said = error.strerror if isinstance(error, OSError) else str(error)
        # One line for each part says it: a volume can have a million files of root's.
        if not any(text.startswith(f"{path}: ") for text in left):
            left.append(f"{path}: {where} can't be removed ({said})")

    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, onerror=lambda how, where, told: failed(how, str(where), told[1]))
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        failed(None, str(path), error)


def _strangers(state_dir: Path, left: Sequence[str]) -> Iterator[Path]:
    own = {path for part in kept.PARTS for path in kept.entries(state_dir, part)} | {Path(text) for text in left}
    yield from (path for path in sorted(state_dir.iterdir()) if path not in own)


@contextlib.contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """Hold the service's lock; raise PurgeError if one runs, or if this is no state directory."""
    lock = state_dir / _LOCK
    if not state_dir.exists():
        yield
        return
    if not lock.exists():
        raise PurgeError(f"{state_dir} is no state directory of Wherry's: no service has ever started there")
    with open(lock, "a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PurgeError(f"a service for {state_dir} runs: stop it first (wherry server stop)") from None
        yield


async def _run(state_dir: Path, settings: Settings, with_images: bool, removes: bool) -> Mapping[str, Any]:
    engine = DockerStock()
    try:
        found = await look(state_dir, settings, engine, with_images)
        if removes:
            await remove(found, engine)
        return found.told()
    finally:
        await engine.close()


def main() -> int:
    """Print what there is, or was; return the exit code."""
    parser = argparse.ArgumentParser(prog="wherry_service.purge", description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True, help="where the service keeps everything")
    parser.add_argument("--config", type=Path, help="YAML file of settings that the service has")
    parser.add_argument("--images", action="store_true", help="images too")
    parser.add_argument("--remove", action="store_true", help="remove it")
    arguments = parser.parse_args()
    state_dir = Path(os.path.realpath(arguments.state_dir))
    try:
        settings = load(arguments.config, state_dir=state_dir)
        with _alone(state_dir) if arguments.remove else contextlib.nullcontext():
            told = asyncio.run(_run(state_dir, settings, arguments.images, arguments.remove))
    except (PurgeError, SettingsError, ServiceError, OSError) as error:
        print(f"wherry: {error}", file=sys.stderr)
        return 1
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
