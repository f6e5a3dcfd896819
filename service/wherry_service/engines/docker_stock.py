"""What Wherry keeps in an engine, whichever service it belongs to: to count it, and to remove it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wherry_service.engines.docker import DockerEngine
from wherry_service.engines.engine import ContainerMissing

if TYPE_CHECKING:
    import docker

INSTANCE = "wherry.instance"
_TAG = "wherry/"


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


class DockerStock(DockerEngine):
    """An engine that is asked what Wherry keeps there. Its methods raise `EngineError`."""

    async def stock(self) -> Stock:
        """Return what has Wherry's labels; images also have a name of Wherry's, since others' inherit its labels."""
        return await self._run("list what Wherry keeps there", stock_of)

    async def remove_network(self, engine_id: str) -> None:
        """Remove a network; one that is gone is fine."""
        try:
            await self._run("remove a network", lambda client: client.remove_network(engine_id))
        except ContainerMissing:
            return


def stock_of(client: "docker.APIClient") -> Stock:
    """Return what has Wherry's labels."""
    ours = {"label": INSTANCE}
    found = Stock(
        [_kept(row, row["Id"]) for row in client.containers(all=True, filters=ours)],
        [_kept(row, row["Id"]) for row in client.networks(filters=ours)],
        [_kept(row, row["Name"]) for row in client.volumes(filters=ours).get("Volumes") or ()],
    )
    for row in client.images(filters={"label": "wherry.kind"}):
        tags = tuple(tag for tag in row.get("RepoTags") or () if tag.startswith(_TAG))
        if tags:
            image_id = (row.get("Labels") or {}).get("wherry.image", "")
            found.images.append(KeptImage(tags, image_id, int(row.get("Size") or 0), _layers(client, row["Id"])))
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
