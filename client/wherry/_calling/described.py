"""What functions and servers ask for, as the service has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.types import CloudBucketMountInfo, FunctionInfo, ServerInfo, VolumeMountInfo
from wherry_proto.messages import FunctionDescribeRequest, FunctionDescription, Resources
from wherry_proto.views import schedule_text

if TYPE_CHECKING:
    from wherry._calling.caller import Caller
    from wherry_proto.messages import FunctionSpec, WebSpec


def function_info(caller: Caller) -> FunctionInfo:
    """Return what a function asks for."""
    found, spec = _described(caller)
    pool, web = spec.pool, spec.web
    info = found.function
    url = info.web_url if info is not None else ""
    methods = info.methods if info is not None else []
    answering = {one.name: _web(one.web_url, one.web) for one in methods if one.web is not None}
    return FunctionInfo(
        **_common(found, spec),
        image_info=FunctionInfo.ImageInfo(None, spec.image_id or None),
        startup_timeout=int(spec.startup_timeout_s) or None,
        timeout=int(spec.timeout_s),
        max_retries=spec.retry.max_retries if spec.retry is not None else None,
        regions=None,
        routing_region=None,
        batching_info=(
            FunctionInfo.BatchingInfo(pool.max_batch_size, pool.batch_wait_ms)
            if pool is not None and pool.max_batch_size
            else None
        ),
        concurrency_info=(
            FunctionInfo.ConcurrencyInfo(pool.max_concurrent_inputs, pool.target_concurrent_inputs or None)
            if pool is not None and pool.max_concurrent_inputs > 1
            else None
        ),
        schedule=schedule_text(spec.schedule) if spec.schedule is not None else None,
        restrict_modal_access=False,
        block_network=spec.block_network,
        single_use_containers=pool is not None and pool.single_use_containers,
        web_info=_web(url, web) if web is not None else None,
        method_names=[one.name for one in methods] or None,
        method_details=answering or None,
    )


def server_info(caller: Caller) -> ServerInfo:
    """Return what a server asks for."""
    found, spec = _described(caller)
    web = spec.web
    server = web.server if web is not None else None
    return ServerInfo(
        **_common(found, spec),
        server_url=found.function.web_url if found.function is not None else "",
        port=web.port if web is not None else 0,
        unauthenticated=web is None or not web.requires_proxy_auth,
        h2_enabled=False,
        routing_region=None,
        sessioned=server is not None and server.max_sessions > 0,
        startup_timeout=int(spec.startup_timeout_s),
        exit_grace_period=int(server.exit_grace_s) if server is not None else 0,
        image_info=ServerInfo.ImageInfo(None, spec.image_id or None),
        compute_regions=None,
    )


def _described(caller: Caller) -> tuple[FunctionDescription, FunctionSpec]:
    request = FunctionDescribeRequest(function_id=caller.function_id)
    found = caller.client.call("Functions.Describe", request, FunctionDescription)
    assert found.spec is not None
    return found, found.spec


def _common(found: FunctionDescription, spec: FunctionSpec) -> dict[str, Any]:
    """Return what is said of both."""
    asked = spec.resources or Resources()
    volumes = {
        mount.path: VolumeMountInfo(
            found.names.get(mount.volume_id), mount.volume_id, mount.read_only, mount.sub_path or None
        )
        for mount in (*spec.volumes, *spec.network_file_systems)
    }
    buckets = {
        mount.path: CloudBucketMountInfo(mount.bucket, "s3", mount.read_only, mount.key_prefix or None)
        for mount in spec.bucket_mounts
    }
    return {
        "cpu": _amount(asked.cpu_request, asked.cpu_limit),
        "memory_mib": _amount(asked.memory_request_mib, asked.memory_limit_mib),
        "gpus": [(one.type, one.count) for one in spec.gpus],
        "ephemeral_disk_mib": asked.ephemeral_disk_mib or None,
        "nonpreemptible": True,
        "cloud": None,
        "cluster_info": None,
        "volumes": volumes,
        "cloud_bucket_mounts": buckets,
        "secrets": [found.names.get(secret_id, secret_id) for secret_id in spec.secret_ids],
    }


def _amount(request: Any, limit: Any) -> Any:
    return (request, limit) if limit else request or None


def _web(url: str, web: WebSpec | None) -> FunctionInfo.WebInfo:
    return FunctionInfo.WebInfo(
        url, web.method or None if web is not None else None, web is None or not web.requires_proxy_auth
    )
