"""What containers need that is brought up before they start: images, source, files, secrets, volumes, buckets.

Whatever has containers (apps, deployments, shells, variants, sandboxes, functions of a build) says what each of them
needs; `bring_up` (in bring_up.py) builds the images and `make_ready` turns the rest into ids: each thing once, in one
order.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry._base.code import has_file, importable_name
from wherry._define.places import together
from wherry._publish.mounts import Mounts, local_mounts, module_mounts, mounts_together
from wherry._publish.secrets import secret_ids
from wherry._publish.shipping import Shipped, ship_modules
from wherry._publish.source import SourceFile, is_installed
from wherry._publish.volumes import bucket_mounts, volume_mounts
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wherry._connection.client import Client
    from wherry._define.definition import Definition
    from wherry._define.places import Placed
    from wherry._define.plan import Plan
    from wherry._define.recipe import Recipe
    from wherry._objects.shared import SharedObject
    from wherry.mount import Mount
    from wherry.secret import Secret
    from wherry_proto.messages import BucketMount, FunctionSpec, LocalMount, SandboxSpec, VolumeMount

# What a container's Python has loaded before it comes to the user's source. More of them it tells as it loads.
_LOADED_FIRST = frozenset(
    (
        "abc", "builtins", "codecs", "encodings", "genericpath", "io", "marshal", "os", "posix", "posixpath", "site",
        "stat", "sys", "time", "zipimport",
    )
)  # fmt: skip


class Needs:
    """What one kind of container needs. `modules`: those whose source it imports; None: it is no place for source."""

    __slots__ = ("image", "modules", "mounted", "network_file_systems", "secrets", "volumes")

    def __init__(
        self,
        image: Recipe | None,
        *,
        modules: Sequence[Any] | None = None,
        mounts: Sequence[Mount] = (),
        secrets: Sequence[Secret] = (),
        volumes: Placed = (),
        network_file_systems: Placed = (),
    ) -> None:
        self.image = image
        self.modules = modules
        # Files of this machine: the image's, and others besides.
        self.mounted = mounts_together(image, mounts)
        self.secrets = secrets
        self.volumes = volumes
        self.network_file_systems = network_file_systems


class Ready:
    """The same as the service is told of it."""

    __slots__ = (
        "bucket_mounts", "image_id", "local_mounts", "network_file_systems", "secret_ids", "source_id", "volumes",
    )  # fmt: skip

    def __init__(
        self,
        image_id: str,
        source_id: str,
        local_mounts: list[LocalMount],
        secret_ids: list[str],
        volumes: list[VolumeMount],
        bucket_mounts: list[BucketMount],
        network_file_systems: list[VolumeMount],
    ) -> None:
        self.image_id = image_id
        self.source_id = source_id
        self.local_mounts = local_mounts
        self.secret_ids = secret_ids
        self.volumes = volumes
        self.bucket_mounts = bucket_mounts
        self.network_file_systems = network_file_systems

    def fill(self, spec: FunctionSpec | SandboxSpec) -> None:
        """Write it into the description of a function or a sandbox. A sandbox has no other volumes than `volumes`."""
        spec.image_id = self.image_id
        spec.source_id = self.source_id
        spec.local_mounts = list(self.local_mounts)
        spec.secret_ids = list(self.secret_ids)
        spec.volumes = list(self.volumes)
        spec.bucket_mounts = list(self.bucket_mounts)
        if hasattr(spec, "network_file_systems"):
            spec.network_file_systems = list(self.network_file_systems)


class BroughtUp:
    """What is ready, in the order in which it was wanted, and the source that was sent for all of it."""

    __slots__ = ("files", "ready", "root")

    def __init__(self, ready: list[Ready], files: list[SourceFile], root: Path | None) -> None:
        self.ready = ready
        self.files = files
        # The directory that the source is below, here; None: there is none.
        self.root = root


def make_ready(
    client: Client,
    wanted: Sequence[Needs],
    image_ids: Sequence[str],
    *,
    app_id: str = "",
    environment: str = "",
    objects: Iterable[SharedObject] = (),
    creates: bool = True,
) -> BroughtUp:
    """Send, make and look for all that is wanted but images, each once; return what the service is to be told of it.

    Names without an environment mean the one given (without one: the client's); those of an app's, the app's.
    `objects` are the app's own. Without `creates` no volume or object is made: one that would be has an id that none
    has. Raises InvalidError for files that can't be sent, NotFoundError.
    """
    sources = [_source_of(needs) for needs in wanted]
    shipped = {one: ship_modules(client, list(one[1]), module_mounts(one[0])) for one in dict.fromkeys(sources) if one}
    local = {own: local_mounts(client, own) for own in dict.fromkeys(needs.mounted for needs in wanted)}
    secrets = secret_ids(client, [needs.secrets for needs in wanted], app_id, environment)
    if creates:
        for own_object in objects:
            own_object.bring_up(client, app_id)
    volumes = volume_mounts(client, [needs.volumes for needs in wanted], app_id, environment, creates)
    buckets = bucket_mounts(client, [needs.volumes for needs in wanted], app_id, environment)
    shared = volume_mounts(client, [needs.network_file_systems for needs in wanted], app_id, environment, creates)
    ready = [
        Ready(
            image_id,
            shipped[source].source_id if source is not None else "",
            local[needs.mounted],
            *rows,
        )
        for needs, image_id, source, *rows in zip(
            wanted, image_ids, sources, secrets, volumes, buckets, shared, strict=True
        )
    ]
    return BroughtUp(ready, _files(shipped.values()), next((one.root for one in shipped.values() if one.root), None))


def needs_of(plan: Plan, definition: Definition, modules: Sequence[Any]) -> Needs:
    """Return what a function of an app needs; `modules` of all of them, where it wants source at all."""
    options, own = definition.options, plan.of(definition)
    return Needs(
        plan.image_of(definition),
        modules=modules if options.include_source else (),
        mounts=(*own.mounts, *options.mounts),
        secrets=(*own.secrets, *options.secrets),
        volumes=together("volumes", own.volumes, options.volumes),
        network_file_systems=options.network_file_systems,
    )


def modules_of(definitions: Iterable[Definition]) -> list[Any]:
    """Return the modules that define functions, each once, unless their source is not wanted.

    Raises InvalidError for one that no container could import.
    """
    modules: dict[str, Any] = {}
    for definition in definitions:
        if definition.options.include_source and definition.module is not None:
            own = getattr(definition.module, "__file__", None)
            is_imported = definition.module_name in _LOADED_FIRST and not definition.sends_itself
            if is_imported and own is not None and not is_installed(Path(own)):
                raise InvalidError(
                    f"{definition.module_name}.py has the name of a module that Python itself loads before it: "
                    "rename the file"
                )
            modules.setdefault(definition.function.__module__, definition.module)
    return list(modules.values())


def alias_main() -> None:
    """Let a script's types have one identity here: containers name them by the script's own name."""
    main = sys.modules["__main__"]
    if has_file(main):
        sys.modules.setdefault(importable_name("__main__"), main)


def _source_of(needs: Needs) -> tuple[Mounts, tuple[Any, ...]] | None:
    """Return what makes up the source: most functions of an app have the same."""
    return (needs.mounted, tuple(needs.modules)) if needs.modules is not None else None


def _files(shipped: Iterable[Shipped]) -> list[SourceFile]:
    return list({file.path: file for one in shipped for file in one.files}.values())
