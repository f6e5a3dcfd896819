"""From a function's spec to its pool's plan: validation, limits, and how its containers are ordered."""

import hashlib
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

from wherry_proto import codec, rows
from wherry_proto.messages import FunctionSpec, PoolSettings, Resources, ServerSpec, WebKind, WebSpec
from wherry_proto.messages import RetryPolicy as RetryMessage
from wherry_service.calls.retry import RetryPolicy
from wherry_service.engines.engine import Gpu
from wherry_service.errors import InvalidRequest
from wherry_service.node.mounts import bucket_orders, volume_orders
from wherry_service.node.node import ContainerOrder, LoadOrder
from wherry_service.pools.autoscaler import Bounds
from wherry_service.pools.capacity import Capacity
from wherry_service.pools.plan import PoolPlan

MAX_CONTAINERS = 1000
MAX_CONCURRENT_INPUTS = 1000
MAX_BATCH_SIZE = 1000
MAX_BATCH_WAIT_MS = 600_000
MAX_GPUS = 64
MAX_EXIT_GRACE_S = 3600
MAX_TIMEOUT_S = 24 * 3600.0
MAX_SERIALIZED = 16 << 20
MAX_PARAMETERS = 1 << 20
MAX_METHODS = 1000
MAX_SECRETS = 100

# Of a pool's settings: what a change of needs no other containers.
_TUNED = (
    "min_containers", "max_containers", "buffer_containers", "scaledown_window_s", "target_concurrent_inputs",
    "target_concurrency", "scaleup_window_s",
)  # fmt: skip

_GPU_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}\Z")

ReadyImage = Callable[[str], Awaitable[str]]
"""From an image id to the reference the engine starts; may build, may raise ServiceError."""


SecretValues = Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]
"""From secret ids to environment variables; may raise ServiceError."""


def plan_of(
    app_id: str,
    function_id: str,
    spec: FunctionSpec,
    ready_image: ReadyImage,
    secret_values: SecretValues,
    names: Callable[[], tuple[str, str]],
    import_only: bool = False,
) -> PoolPlan:
    """Return the plan; raise `InvalidRequest` naming the function, the field and its range.

    `names` tells those of the app and of its environment, as they are when a container is made.
    """
    _check(spec)
    owner = f"function {spec.name!r}"
    mounts = [*spec.volumes, *spec.network_file_systems]
    volumes = volume_orders(owner, mounts, spec.local_mounts, spec.bucket_mounts)
    resources = spec.resources or Resources()
    settings = spec.pool or PoolSettings()
    load = LoadOrder(
        app_id=app_id,
        function_id=function_id,
        name=spec.name,
        module_name=spec.module_name,
        qualname=spec.qualname,
        serialized=spec.serialized.data if spec.serialized is not None else b"",
        source_id=spec.source_id,
        is_generator=spec.is_generator,
        is_async=spec.is_async,
        concurrency=max(1, settings.max_concurrent_inputs),
        timeout_s=spec.timeout_s or 300.0,
        startup_timeout_s=spec.startup_timeout_s or spec.timeout_s or 300.0,
        env=dict(spec.env),
        methods=tuple((method.name, method.is_generator, method.is_async) for method in spec.methods),
        parameters=spec.parameters.data if spec.parameters is not None else b"",
        python=spec.python,
        max_batch_size=settings.max_batch_size,
        batch_wait_ms=settings.batch_wait_ms,
        local_mounts=tuple((mount.remote_path, mount.source_id, mount.is_file) for mount in spec.local_mounts),
        has_secrets=bool(spec.secret_ids),
        web=webs_of(spec),
        revision=revision_of(spec),
        import_only=import_only,
    )
    batch = max(1, settings.max_batch_size)
    server = server_of(spec)
    max_sessions = server.max_sessions if server is not None else 0
    most = max_sessions or settings.target_concurrent_inputs

    async def make_order(container_id: str) -> ContainerOrder:
        return ContainerOrder(
            container_id=container_id,
            image=await ready_image(spec.image_id),
            load=load,
            cpu_limit=resources.cpu_limit or None,
            cpu_request=resources.cpu_request or None,
            memory_limit_mib=resources.memory_limit_mib or None,
            memory_request_mib=resources.memory_request_mib or None,
            block_network=spec.block_network,
            disk_limit_mib=resources.ephemeral_disk_mib or None,
            gpus=tuple(Gpu(gpu.type, gpu.count) for gpu in spec.gpus),
            volumes=volumes,
            env=variables_of(container_id, app_id, function_id, spec.image_id, (*names(), spec.name)),
            buckets=await bucket_orders(owner, spec.bucket_mounts, secret_values),
            # Asked for each container: one that starts later gets what the secrets hold then.
            secrets=await secret_values(spec.secret_ids) if spec.secret_ids else {},
        )

    return PoolPlan(
        function_id=function_id,
        name=spec.name,
        bounds=Bounds(
            min_containers=settings.min_containers,
            max_containers=settings.max_containers or None,
            buffer_containers=settings.buffer_containers,
            slots=load.concurrency * batch,
            target=(settings.target_concurrency or most or load.concurrency) * batch,
        ),
        scaledown_window_s=settings.scaledown_window_s,
        timeout_s=load.timeout_s,
        share=Capacity.share(
            resources.cpu_request or None,
            resources.memory_request_mib or None,
            [Gpu(gpu.type, gpu.count) for gpu in spec.gpus],
        ),
        load=load,
        make_order=make_order,
        single_use=settings.single_use_containers,
        block_network=spec.block_network,
        is_server=server is not None,
        max_sessions=max_sessions,
        scaleup_window_s=settings.scaleup_window_s,
    )


def variables_of(
    container_id: str, app_id: str, function_id: str, image_id: str, names: tuple[str, str, str]
) -> dict[str, str]:
    """Return the variables that tell code in a container who and where it is, under our names and Modal's.

    `names` are those of the app, its environment and the function.
    """
    app, environment, function = names
    return {
        "WHERRY_CONTAINER_ID": container_id,
        "WHERRY_APP_ID": app_id,
        "WHERRY_APP_NAME": app,
        "WHERRY_FUNCTION_ID": function_id,
        "WHERRY_FUNCTION_NAME": function,
        "WHERRY_IMAGE_ID": image_id,
        "WHERRY_ENVIRONMENT": environment,
        "MODAL_TASK_ID": container_id,
        "MODAL_IMAGE_ID": image_id,
        "MODAL_ENVIRONMENT": environment,
        "MODAL_IS_REMOTE": "1",
        "MODAL_CLOUD_PROVIDER": "wherry",
        "MODAL_REGION": "local",
    }


def revision_of(spec: FunctionSpec) -> str:
    """Return what is equal for specs whose containers can stand in for each other: 12 hex digits."""
    # A copy, as it will be when it comes from the database: 300 and 300.0 are the same there.
    spec = codec.deserialize(FunctionSpec, codec.serialize(spec))
    spec.env = dict(sorted(spec.env.items()))
    spec.retry = spec.schedule = spec.on_failure = None
    if spec.pool is not None:
        for name in _TUNED:
            setattr(spec.pool, name, 0)
    # Not protobuf's wire format: that has maps in any order.
    parts: list[bytes] = []
    row = rows.to_row(spec, parts)
    return hashlib.sha256(b"\0".join((json.dumps(row).encode(), *parts))).hexdigest()[:12]


def webs_of(spec: FunctionSpec) -> dict[str, WebSpec]:
    """Return what of a function, or of a class's methods, answers requests, by the method's name."""
    found = {method.name: method.web for method in spec.methods if method.web is not None}
    if spec.web is not None:
        found[""] = spec.web
    return found


def server_of(spec: FunctionSpec) -> ServerSpec | None:
    """Return what is said of the server that a class is; None: it is none."""
    return spec.web.server if spec.web is not None else None


def retry_of(spec: FunctionSpec) -> RetryPolicy:
    """Return the function's retry policy."""
    message = spec.retry or RetryMessage()
    return RetryPolicy(
        max_retries=message.max_retries,
        backoff_coefficient=message.backoff_coefficient or 1.0,
        initial_delay_s=message.initial_delay_s,
        max_delay_s=message.max_delay_s or 60.0,
    )


def _check(spec: FunctionSpec) -> None:
    settings = spec.pool or PoolSettings()
    resources = spec.resources or Resources()
    retry = spec.retry or RetryMessage()
    _within(spec, "min_containers", settings.min_containers, 0, MAX_CONTAINERS)
    _within(spec, "max_containers", settings.max_containers, 0, MAX_CONTAINERS)
    _within(spec, "buffer_containers", settings.buffer_containers, 0, MAX_CONTAINERS)
    _within(spec, "max_concurrent_inputs", settings.max_concurrent_inputs, 0, MAX_CONCURRENT_INPUTS)
    _within(spec, "target_concurrent_inputs", settings.target_concurrent_inputs, 0, settings.max_concurrent_inputs)
    _within(spec, "max_batch_size", settings.max_batch_size, 0, MAX_BATCH_SIZE)
    _within(spec, "batch_wait_ms", settings.batch_wait_ms, 0, MAX_BATCH_WAIT_MS)
    _within(spec, "scaledown_window", settings.scaledown_window_s, 0, MAX_TIMEOUT_S)
    _within(spec, "target_concurrency", settings.target_concurrency, 0, MAX_CONCURRENT_INPUTS)
    _within(spec, "scaleup_window", settings.scaleup_window_s, 0, MAX_TIMEOUT_S)
    _within(spec, "timeout", spec.timeout_s, 0, MAX_TIMEOUT_S)
    _within(spec, "startup_timeout", spec.startup_timeout_s, 0, MAX_TIMEOUT_S)
    _within(spec, "cpu", resources.cpu_limit, 0, 1024)
    _within(spec, "cpu", resources.cpu_request, 0, 1024)
    _within(spec, "memory", resources.memory_limit_mib, 0, 1 << 24)
    _within(spec, "memory", resources.memory_request_mib, 0, 1 << 24)
    _within(spec, "ephemeral_disk", resources.ephemeral_disk_mib, 0, 1 << 24)
    _within(spec, "max_retries", retry.max_retries, 0, 10)
    for gpu in spec.gpus:
        _within(spec, "gpu count", gpu.count, 1, MAX_GPUS)
        if not _GPU_TYPE.match(gpu.type):
            raise InvalidRequest(f"function {spec.name!r}: {gpu.type[:64]!r} is no type of GPU")
    if settings.single_use_containers and max(settings.max_concurrent_inputs, settings.max_batch_size) > 1:
        raise InvalidRequest(f"function {spec.name!r}: single_use_containers gives a container one input, not several")
    if spec.is_generator and settings.max_batch_size:
        raise InvalidRequest(f"function {spec.name!r}: a generator can't be batched")
    if not spec.name or len(spec.name) > 256:
        raise InvalidRequest(f"a function's name has 1 to 256 characters, got {spec.name[:64]!r}")
    if not spec.image_id:
        raise InvalidRequest(f"function {spec.name!r} has no image")
    if spec.serialized is None and not (spec.module_name and spec.qualname):
        raise InvalidRequest(f"function {spec.name!r} names no module and is not serialized")
    if spec.serialized is not None and len(spec.serialized.data) > MAX_SERIALIZED:
        raise InvalidRequest(f"function {spec.name!r} is over {MAX_SERIALIZED >> 20} MiB serialized")
    if spec.parameters is not None and len(spec.parameters.data) > MAX_PARAMETERS:
        raise InvalidRequest(f"the parameters of {spec.name!r} are over {MAX_PARAMETERS >> 20} MiB")
    if len(spec.methods) > MAX_METHODS:
        raise InvalidRequest(f"class {spec.name!r} has over {MAX_METHODS} methods")
    if len(spec.secret_ids) > MAX_SECRETS:
        raise InvalidRequest(f"function {spec.name!r} has over {MAX_SECRETS} secrets")
    _check_web(spec, settings, retry)
    if settings.max_containers and settings.min_containers > settings.max_containers:
        raise InvalidRequest(
            f"function {spec.name!r}: min_containers={settings.min_containers} is more than "
            f"max_containers={settings.max_containers}"
        )


def _check_web(spec: FunctionSpec, settings: PoolSettings, retry: RetryMessage) -> None:
    for web in webs_of(spec).values():
        if web.kind not in (WebKind.ENDPOINT, WebKind.ASGI, WebKind.WSGI, WebKind.SERVER):
            raise InvalidRequest(f"function {spec.name!r} is a web endpoint of a kind this service does not know")
        if web.kind == WebKind.SERVER:
            _within(spec, "port", web.port, 1, 65535)
        if web.server is not None:
            _within(spec, "exit_grace_period", web.server.exit_grace_s, 0, MAX_EXIT_GRACE_S)
            _within(spec, "max_concurrency", web.server.max_sessions, 0, MAX_CONCURRENT_INPUTS)
            if web.kind != WebKind.SERVER or spec.methods:
                raise InvalidRequest(f"class {spec.name!r} is a server: it has a port, and no methods")
        if settings.max_batch_size or retry.max_retries:
            raise InvalidRequest(f"function {spec.name!r} is a web endpoint: it can be neither batched nor retried")


def _within(spec: FunctionSpec, name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high or math.isnan(value):
        raise InvalidRequest(f"function {spec.name!r}: {name}={value:g} is not between {low:g} and {high:g}")
