"""What containers need that is brought up before they start: images, source, files, secrets, volumes, buckets.

Whatever has containers (apps, deployments, shells, variants, sandboxes, functions of a build) says what each of them
needs, and hands it to a resolver (resolver.py): images with bring_up.py, the rest with `make_ready`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry._base.code import has_file, importable_name
from wherry._define.places import together
from wherry._publish.mounts import local_mounts, module_mounts, mounts_together
from wherry._publish.resolver import Want
from wherry._publish.secrets import WantedSecret
from wherry._publish.shipping import Shipped, ship_modules
from wherry._publish.source import is_installed
from wherry._publish.volumes import buckets_of, volumes_of
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wherry._base.mounted import Mounted
    from wherry._define.definition import Definition
    from wherry._define.places import Placed
    from wherry._define.plan import Plan
    from wherry._define.recipe import Recipe
    from wherry._publish.resolver import Resolver
    from wherry.mount import Mount
    from wherry.secret import Secret
    from wherry_proto.messages import FunctionSpec, SandboxSpec

# What a container's Python has loaded before it comes to the user's source. More of them it tells as it loads.
_LOADED_FIRST = frozenset(
    (
        "abc", "builtins", "codecs", "encodings", "genericpath", "io", "marshal", "os", "posix", "posixpath", "site",
        "stat", "sys", "time", "zipimport",
    )
)  # fmt: skip


class Source(Want[Shipped]):
    """The source of modules, and of those that are mounted: most functions of an app have the same."""

    STAGE = 2

    __slots__ = ("_modules", "_mounted")

    def __init__(self, modules: Sequence[Any], mounted: Sequence[Mounted]) -> None:
        self._modules = list(modules)
        self._mounted = tuple(one for one in mounted if one.kind == "module")
        super().__init__(tuple(modules), self._mounted)

    def bring_up(self, resolver: Resolver) -> Shipped:
        return ship_modules(resolver.client, self._modules, module_mounts(self._mounted))


class Needs:
    """What one kind of container needs. `modules`: those whose source it imports; None: it is no place for source."""

    __slots__ = ("buckets", "image", "local", "secrets", "shared", "source", "volumes", "wanted_by")

    def __init__(
        self,
        image: Recipe | None,
        *,
        modules: Sequence[Any] | None = None,
        mounts: Sequence[Mount] = (),
        secrets: Sequence[Secret] = (),
        volumes: Placed = (),
        network_file_systems: Placed = (),
        wanted_by: str = "",
    ) -> None:
        # Files of this machine: the image's, and others besides.
        mounted = mounts_together(image, mounts)
        self.image = image
        # What people call who needs it; "": nobody who has a name.
        self.wanted_by = wanted_by
        self.source = [Source(modules, mounted)] if modules is not None else []
        self.local = local_mounts(mounted)
        self.secrets = [WantedSecret(secret) for secret in secrets]
        self.volumes = volumes_of(volumes)
        self.buckets = buckets_of(volumes)
        self.shared = volumes_of(network_file_systems)

    def wants(self) -> list[Want[Any]]:
        """Return all of them but the image."""
        return [*self.source, *self.local, *self.secrets, *self.volumes, *self.buckets, *self.shared]


class Ready:
    """The same as the service is told of it."""

    __slots__ = (
        "bucket_mounts", "image_id", "local_mounts", "network_file_systems", "secret_ids", "source_id", "volumes",
    )  # fmt: skip

    def __init__(self, needs: Needs, resolver: Resolver) -> None:
        # "": it needs none, or its image is known otherwise.
        self.image_id = ""
        self.source_id = "".join(shipped.source_id for shipped in resolver.all_of(needs.source))
        self.local_mounts = resolver.all_of(needs.local)
        self.secret_ids = resolver.all_of(needs.secrets)
        self.volumes = resolver.all_of(needs.volumes)
        self.bucket_mounts = resolver.all_of(needs.buckets)
        self.network_file_systems = resolver.all_of(needs.shared)

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


def make_ready(resolver: Resolver, wanted: Sequence[Needs]) -> list[Ready]:
    """Send, make and look for all that is wanted but images; return what the service is to be told of it.

    Raises InvalidError for files that can't be sent, NotFoundError.
    """
    resolver.resolve(want for needs in wanted for want in needs.wants())
    return [Ready(needs, resolver) for needs in wanted]


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
        wanted_by=definition.name,
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
