"""Variants of functions: other parameters of a class, or other options, each with a pool of its own."""

import copy
import json
from typing import Any

from wherry_proto import codec, rows
from wherry_proto.messages import FunctionBindRequest, FunctionSpec, FunctionUpdateRequest, PoolSettings
from wherry_service.errors import InvalidRequest

# Fields of FunctionSpec, and of its messages, that a variant may have otherwise than its base.
CHANGEABLE = frozenset(
    (
        "image_id", "local_mounts", "timeout_s", "startup_timeout_s", "env", "block_network", "retry", "resources",
        "gpus", "secret_ids", "volumes", "network_file_systems", "bucket_mounts",
        "pool.min_containers", "pool.max_containers", "pool.buffer_containers", "pool.scaledown_window_s",
        "pool.max_concurrent_inputs", "pool.target_concurrent_inputs", "pool.max_batch_size", "pool.batch_wait_ms",
        "pool.single_use_containers", "resources.ephemeral_disk_mib",
        "resources.cpu_request", "resources.cpu_limit", "resources.memory_request_mib", "resources.memory_limit_mib",
    )
)  # fmt: skip
LIVE = (
    "min_containers", "max_containers", "buffer_containers", "scaledown_window_s", "target_concurrency",
    "scaleup_window_s",
)  # fmt: skip


def normalized(request: FunctionBindRequest) -> FunctionBindRequest:
    """Return the request without what it does not name; raise `InvalidRequest` for a field that can't change."""
    changes = _changed(FunctionSpec(), request) if request.fields else None
    if changes is not None:
        changes.env = dict(sorted(changes.env.items()))
    return FunctionBindRequest(parameters=request.parameters, changes=changes, fields=sorted(set(request.fields)))


def bind_key(request: FunctionBindRequest) -> bytes:
    """Return what tells a variant from others of its base; b"" for one that is the base itself.

    For this process only. Not protobuf's wire format: that has maps in any order.
    """
    if request.parameters is None and not request.fields:
        return b""
    parts: list[bytes] = []
    row = rows.to_row(normalized(request), parts)
    return b"".join((json.dumps(row).encode(), *parts))


def variant_of(base: FunctionSpec, request: FunctionBindRequest) -> FunctionSpec:
    """Return the base with the request's parameters and changes; raise `InvalidRequest` for a field it can't change."""
    spec = _changed(copy.deepcopy(base), request)
    if spec.pool is not None and spec.pool.max_batch_size and not (base.pool and base.pool.max_batch_size):
        raise InvalidRequest(f"{base.name!r} is not batched: put @wherry.batched() on the function that takes lists")
    if request.parameters is not None:
        if not base.methods:
            raise InvalidRequest(f"{base.name!r} is no class: it takes no parameters")
        spec.parameters = request.parameters
    return spec


def scaled_as(spec: FunctionSpec, live: bytes) -> FunctionSpec:
    """Return the spec as its function scales now; `live` is what `merged` made."""
    return updated(spec, codec.deserialize(FunctionUpdateRequest, live)) if live else spec


def merged(live: bytes, request: FunctionUpdateRequest) -> bytes:
    """Return all changes of scaling there have been, the request's last."""
    known = codec.deserialize(FunctionUpdateRequest, live) if live else FunctionUpdateRequest(pool=PoolSettings())
    spec = updated(FunctionSpec(pool=known.pool), request)
    fields = sorted({*known.fields, *request.fields})
    return codec.serialize(FunctionUpdateRequest(pool=spec.pool, fields=fields))


def updated(spec: FunctionSpec, request: FunctionUpdateRequest) -> FunctionSpec:
    """Return the spec with other scaling; raise `InvalidRequest` for a field that is none of it."""
    spec = copy.deepcopy(spec)
    spec.pool = spec.pool or PoolSettings()
    for name in request.fields:
        if name not in LIVE or request.pool is None:
            raise InvalidRequest(f"{name[:64]!r} can't be changed while a function runs, only {', '.join(LIVE)} can")
        setattr(spec.pool, name, getattr(request.pool, name))
    return spec


def _changed(spec: FunctionSpec, request: FunctionBindRequest) -> FunctionSpec:
    for name in request.fields:
        if name not in CHANGEABLE or request.changes is None:
            raise InvalidRequest(f"a variant can't have another {name[:64]!r}")
        source: Any = request.changes
        target: Any = spec
        outer, _, inner = name.rpartition(".")
        if outer:
            kind = type(getattr(source, outer))
            source = getattr(source, outer)
            if source is None:
                raise InvalidRequest(f"a variant names {name!r} and does not say what it is")
            if getattr(target, outer) is None:
                setattr(target, outer, kind())
            target = getattr(target, outer)
        value = getattr(source, inner)
        if inner == "env":
            target.env = {**target.env, **value}
        else:
            setattr(target, inner, copy.deepcopy(value))
    return spec
