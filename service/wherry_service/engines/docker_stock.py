"""What takes room in an engine: what Wherry keeps there, whichever service it belongs to, and the build cache."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wherry_service.engines.engine import EngineDisk

if TYPE_CHECKING:
    import docker

INSTANCE = "wherry.instance"
_TAG = "wherry/"
# Seconds: an engine goes through all of its cache, and may have millions of files to remove.
_LOOK_WITHIN_S = 120
_PRUNE_WITHIN_S = 900


@dataclass(frozen=True, slots=True)
class Kept:
    """A container, a network or a volume."""

    engine_id: str
    instance: str
    # Of the service that made it, where it says so.
    state_dir: str = ""


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image with a name of Wherry's."""

    tags: tuple[str, ...]
    # "im-…", "" for bases, which belong to no single image.
    image_id: str
    num_bytes: int
    layers: tuple[str, ...]


@dataclass(slots=True)
class Stock:
    """All of it."""

    containers: list[Kept] = field(default_factory=list)
    networks: list[Kept] = field(default_factory=list)
    volumes: list[Kept] = field(default_factory=list)
    images: list[KeptImage] = field(default_factory=list)


def stock_of(client: "docker.APIClient") -> Stock:
    """Return what has Wherry's labels."""
    ours = {"label": INSTANCE}
    return Stock(
        [_kept(row, row["Id"]) for row in client.containers(all=True, filters=ours)],
        [_kept(row, row["Id"]) for row in client.networks(filters=ours)],
        [_kept(row, row["Name"]) for row in client.volumes(filters=ours).get("Volumes") or ()],
        _images(client),
    )


def _images(client: "docker.APIClient") -> list[KeptImage]:
    """Return images that have a label and a name of Wherry's: what others build on one has the label alone."""
    found = []
    for row in client.images(filters={"label": "wherry.kind"}):
        tags = tuple(tag for tag in row.get("RepoTags") or () if tag.startswith(_TAG))
        if tags:
            image_id = (row.get("Labels") or {}).get("wherry.image", "")
            found.append(KeptImage(tags, image_id, int(row.get("Size") or 0), _layers(client, row["Id"])))
    return found


def _layers(client: "docker.APIClient", engine_id: str) -> tuple[str, ...]:
    found = client.inspect_image(engine_id)  # type: ignore[no-untyped-call]
    return tuple((found.get("RootFS") or {}).get("Layers") or ())


def bytes_of(images: "list[KeptImage]") -> int:
    """Return how much disk images take together: what one has of another is there once.

    Layers that are shared without either being the whole beginning of the other are counted twice.
    """
    whole = {image.layers: image.num_bytes for image in images}
    total = 0
    for layers, num_bytes in whole.items():
        below = next((whole[layers[:n]] for n in range(len(layers) - 1, 0, -1) if layers[:n] in whole), 0)
        total += max(0, num_bytes - below)
    return total


def _kept(row: Mapping[str, Any], engine_id: str) -> Kept:
    labels = row.get("Labels") or {}
    return Kept(engine_id, labels.get(INSTANCE, ""), labels.get("wherry.state_dir", ""))


def disk_of(client: "docker.APIClient") -> EngineDisk:
    """Return what takes room."""
    images = _images(client)
    # What volumes and containers take would have it look at all of their files.
    told = _json(client.get(_address(client, "system/df"), params={"type": "build-cache"}, timeout=_LOOK_WITHIN_S))
    cache = [row for row in told.get("BuildCache") or () if not row.get("Shared")]
    return EngineDisk(
        str(client.info().get("DockerRootDir") or ""),
        len(images),
        bytes_of(images),
        sum(int(row.get("Size") or 0) for row in cache),
        sum(int(row.get("Size") or 0) for row in cache if not row.get("InUse")),
    )


def prune_cache(client: "docker.APIClient") -> int:
    """Remove what nothing uses of the build cache; return how many bytes that was."""
    told = _json(client.post(_address(client, "build/prune"), timeout=_PRUNE_WITHIN_S))
    return int(told.get("SpaceReclaimed") or 0)


def _address(client: "docker.APIClient", path: str) -> str:
    return f"{client.base_url}/v{client.api_version}/{path}"


def _json(answer: Any) -> dict[str, Any]:
    import docker.errors  # noqa: PLC0415 - start-up cost: as in docker.py
    import requests  # noqa: PLC0415 - start-up cost: as in docker.py

    try:
        answer.raise_for_status()
    except requests.exceptions.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)
    found: dict[str, Any] = answer.json()
    return found
