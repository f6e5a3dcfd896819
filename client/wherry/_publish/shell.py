"""Shells: into a container that runs, or into a fresh one of a function's or an image's making."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry._base.ids import new_id
from wherry._define.definition import Definition
from wherry._define.places import bucket_mounts, together
from wherry._define.places import mounts as volume_mounts
from wherry._objects.secrets import secret_ids
from wherry._publish.images import ensure_images
from wherry._publish.mounts import local_mounts, module_mounts
from wherry._publish.shipping import ship_modules
from wherry._screen import terminal
from wherry.exception import InvalidError
from wherry.image import Image
from wherry_proto.messages import (
    ExecStart,
    SandboxCreateRequest,
    SandboxInfo,
    SandboxSpec,
    SandboxTerminateRequest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry._connection.client import Client
    from wherry.app import App

# bash where there is one.
DEFAULT_COMMAND = ("/bin/sh", "-c", "command -v bash >/dev/null && exec bash -i || exec sh -i")
# Seconds that a container made for a shell outlives its last one.
LINGER_S = 2.0
MOST_S = 86_400.0
_PYTHON_PATH = "/run/wherry/source:/wherry/sdk"


def fresh(client: Client, image: Image, spec: SandboxSpec, *, with_sdk: bool, environment: str = "") -> str:
    """Make a container that only waits, and goes soon after the last shell has left it; return its id."""
    environment = environment or client.environment
    (spec.image_id,) = ensure_images(client, [image], environment=environment, bare=not with_sdk)
    spec.local_mounts = local_mounts(client, image)
    spec.with_sdk = with_sdk
    spec.timeout_s, spec.idle_timeout_s = MOST_S, LINGER_S
    request = SandboxCreateRequest(
        sandbox_id=new_id("sb"), environment=environment, tags={"made-for": "shell"}, spec=spec
    )
    return client.call("Sandboxes.Create", request, SandboxInfo).sandbox_id


def fresh_for_function(client: Client, app: App | None, definition: Definition) -> str:
    """Make a container as a function's: its image, files, variables, secrets and limits, its source importable."""
    options = definition.options
    environment = (app._environment if app is not None else "") or client.environment
    image = options.image or (app.image if app is not None else None) or Image.debian_slim()
    filled = _filled(definition)
    module = definition.module
    wanted = [module] if options.include_source and module is not None else []
    shipped = ship_modules(client, wanted, module_mounts(image))
    app_secrets = app._secrets if app is not None else ()
    (ids,) = secret_ids(client, [(*app_secrets, *options.secrets)], environment=environment)
    app_volumes = app._volumes if app is not None else ()
    wanted_volumes = (*together("volumes", app_volumes, options.volumes), *options.network_file_systems)
    spec = SandboxSpec(
        volumes=volume_mounts(client, wanted_volumes, "", environment),
        bucket_mounts=bucket_mounts(client, wanted_volumes, "", environment),
        env={"PYTHONPATH": _PYTHON_PATH, **options.env},
        resources=filled.resources,
        gpus=filled.gpus,
        block_network=options.block_network,
        secret_ids=ids,
        source_id=shipped.source_id,
        only_waits=True,
    )
    return fresh(client, image, spec, with_sdk=True, environment=environment)


def enter(client: Client, container_id: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> int:
    """Open a shell in a container with this terminal; return its exit code.

    Raises InvalidError without a terminal.
    """
    if not terminal.is_terminal():
        raise InvalidError("a shell needs a terminal: use --no-pty with --cmd in scripts")
    start = ExecStart(container_id=container_id, args=list(command), env=dict(env or {}))
    return terminal.run_in_terminal(client, start)


def open_shell(client: Client, app: App | None, definition: Definition) -> int:
    """Open a shell in a fresh container as a function's; return its exit code."""
    container_id = fresh_for_function(client, app, definition)
    try:
        return enter(client, container_id, DEFAULT_COMMAND)
    finally:
        end(client, container_id)


def end(client: Client, sandbox_id: str) -> None:
    """End a container that was made and not entered."""
    client.tell("Sandboxes.Terminate", SandboxTerminateRequest(sandbox_id=sandbox_id))


def _filled(definition: Definition) -> Any:
    from wherry_proto.messages import FunctionSpec

    spec = FunctionSpec()
    definition.options.fill(spec)
    return spec
