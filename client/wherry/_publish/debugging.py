"""A container in which a failed input is looked at: as its function's, with its arguments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wherry._base.checks import DAY_S
from wherry._base.ids import new_id
from wherry._publish.shell import LINGER_S, PYTHON_PATH
from wherry._screen.output import waited
from wherry.container_process import start
from wherry.exception import ExecutionError
from wherry_proto.messages import (
    ExecStart,
    FunctionSpec,
    KeptInput,
    Payload,
    ReplayArguments,
    SandboxCreateRequest,
    SandboxInfo,
    SandboxSpec,
)

if TYPE_CHECKING:
    from typing import Any

    from wherry._connection.client import Client

# Where in the container the input is, and what opens it.
PLACE = "/tmp/wherry-input"
_OPENS = "/wherry/runner/wherry_runner/debug.py"
_PUT = 'umask 077 && mkdir -p "$0" && cat > "$0/$1"'


def container_for(client: Client, answer: ReplayArguments, environment: str | None = None) -> str:
    """Make a container as an input's function has them: image, source, files, secrets, volumes, limits. Return its id.

    It goes soon after the last command in it has ended.
    """
    function = answer.function or FunctionSpec()
    own_path = function.env.get("PYTHONPATH", "")
    path = f"{PYTHON_PATH}:{own_path}" if own_path else PYTHON_PATH
    spec = SandboxSpec(
        image_id=function.image_id,
        source_id=function.source_id,
        env={**function.env, "PYTHONPATH": path, "WHERRY_INPUT": PLACE},
        resources=function.resources,
        gpus=function.gpus,
        block_network=function.block_network,
        secret_ids=function.secret_ids,
        # A sandbox has one kind of volumes.
        volumes=[*function.volumes, *function.network_file_systems],
        bucket_mounts=function.bucket_mounts,
        local_mounts=function.local_mounts,
        with_sdk=True,
        only_waits=True,
        timeout_s=DAY_S,
        idle_timeout_s=LINGER_S,
    )
    request = SandboxCreateRequest(
        sandbox_id=new_id("sb"),
        environment=environment or client.environment,
        tags={"made-for": "debug"},
        spec=spec,
    )
    with waited(client.listener.screen, "The container starts"):
        return client.call("Sandboxes.Create", request, SandboxInfo).sandbox_id


def bring(client: Client, container_id: str, answer: ReplayArguments) -> None:
    """Put an input's arguments, and what its function is, into a container."""
    function, kept = answer.function or FunctionSpec(), answer.input or KeptInput()
    payload = answer.payload or Payload()
    _put(client, container_id, "function.json", json.dumps(_facts(function, kept, payload)).encode())
    _put(client, container_id, "arguments", client.blobs.raw(payload))
    for name, part in (("serialized", function.serialized), ("parameters", function.parameters)):
        if part is not None and part.data:
            _put(client, container_id, name, part.data)


def opening(mode: str, code: str = "") -> list[str]:
    """Return what opens the input that is there: a Python prompt, pdb, a run or some code."""
    return ["python3", _OPENS, PLACE, mode, code]


def _facts(function: FunctionSpec, kept: KeptInput, payload: Payload) -> dict[str, Any]:
    methods = [[one.name, one.is_generator, one.is_async] for one in function.methods]
    method = next((one for one in function.methods if one.name == kept.method), None)
    return {
        "input_id": kept.input_id,
        "name": f"{kept.function_name}.{kept.method}" if kept.method else kept.function_name,
        "error": kept.error,
        "method": kept.method,
        "format": payload.format,
        "is_generator": method.is_generator if method is not None else function.is_generator,
        "batched": bool(function.pool is not None and function.pool.max_batch_size),
        "function": {
            "name": function.name,
            "module": function.module_name,
            "qualname": function.qualname,
            "python": function.python,
            "methods": methods,
        },
    }


def _put(client: Client, container_id: str, name: str, data: bytes) -> None:
    request = ExecStart(container_id=container_id, args=["/bin/sh", "-c", _PUT, PLACE, name])
    process: Any = start(client, request, text=False, bufsize=0)
    process.stdin.write(data)
    process.stdin.write_eof()
    process.stdin.drain()
    if process.wait() != 0:
        said = b"".join(process.stderr).decode(errors="replace").strip()
        raise ExecutionError(f"the input could not be put into its container: {said or 'the command failed'}")
