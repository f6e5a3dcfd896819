"""Functions by their names, and how commands show them."""

from typing import Any

from wherry._connection.client import default_client
from wherry.cli._ids import whole
from wherry.cli._usage import UsageError
from wherry_proto.messages import (
    AppShowRequest,
    AppShowResponse,
    FunctionInfo,
    FunctionLookupRequest,
    FunctionStatus,
    PoolSettings,
    Resources,
)


def split_name(function: str) -> tuple[str, str]:
    """Return app and function of "APP/FUNCTION"; raise UsageError for anything else."""
    app_name, _, name = function.partition("/")
    if not name:
        raise UsageError(f"{function!r} is neither an id (fu-…) nor APP/FUNCTION")
    return app_name, name


def find_function(function: str, environment: str | None) -> FunctionInfo:
    """Return a function of a running app by its id, or by APP/FUNCTION; raise NotFoundError or UsageError."""
    client = default_client()
    if function.startswith("fu-"):
        request = FunctionLookupRequest(function_id=whole(function, environment, prefix="fu"))
    else:
        app_name, name = split_name(function)
        request = FunctionLookupRequest(
            app_name=app_name, name=name.removesuffix(".*"), environment=environment or client.environment
        )
    return client.call("Functions.Lookup", request, FunctionInfo)


def status_of(info: FunctionInfo) -> FunctionStatus | None:
    """Return how a function of a running app does; None for a variant of another one."""
    shown = default_client().call("Apps.Show", AppShowRequest(app_id=info.app_id), AppShowResponse)
    own = [one for one in shown.functions if one.function and one.function.function_id == info.function_id]
    return own[0] if own else None


def function_of(status: FunctionStatus) -> FunctionInfo:
    """Return what a function is called, and its URLs."""
    assert status.function is not None
    return status.function


def describe_function(status: FunctionStatus, next_runs: dict[str, list[str | None]]) -> dict[str, Any]:
    """Return a function as JSON shows it; `next_runs` are those of schedules, by function id."""
    function = function_of(status)
    return {
        "function_id": function.function_id,
        "name": function.name,
        "image_id": status.image_id,
        "containers": status.num_containers,
        "waiting": status.backlog,
        "running": status.num_running,
        "succeeded": status.num_succeeded,
        "failed": status.num_failed,
        "last_error": status.last_error or None,
        "variants": status.num_variants,
        "settings": _settings(status),
        "urls": [url for _, url in urls_of(function)],
        "next_runs": next_runs.get(function.function_id, []),
    }


def _settings(status: FunctionStatus) -> dict[str, Any]:
    """Return what a function is run with; None: not limited, or not asked for."""
    resources, pool, retry = status.resources or Resources(), status.pool or PoolSettings(), status.retry
    retries = None
    if retry is not None:
        retries = {
            "max_retries": retry.max_retries,
            "backoff_coefficient": retry.backoff_coefficient,
            "initial_delay_s": retry.initial_delay_s,
            "max_delay_s": retry.max_delay_s,
        }
    return {
        "cpu": {"request": resources.cpu_request or None, "limit": resources.cpu_limit or None},
        "memory_mib": {"request": resources.memory_request_mib or None, "limit": resources.memory_limit_mib or None},
        "ephemeral_disk_mib": resources.ephemeral_disk_mib or None,
        "gpu": [{"type": gpu.type, "count": gpu.count} for gpu in status.gpus],
        "timeout_s": status.timeout_s,
        "startup_timeout_s": status.startup_timeout_s,
        "retries": retries,
        "min_containers": pool.min_containers,
        "max_containers": pool.max_containers or None,
        "buffer_containers": pool.buffer_containers,
        "scaledown_window_s": pool.scaledown_window_s,
        "max_inputs": pool.max_concurrent_inputs,
        "target_inputs": pool.target_concurrent_inputs or None,
        "max_batch_size": pool.max_batch_size or None,
        "batch_wait_ms": pool.batch_wait_ms,
        "single_use_containers": pool.single_use_containers,
    }


def urls_of(function: Any) -> list[tuple[str, str]]:
    """Return names and URLs of a function's, or a class's, web endpoints."""
    own = [(function.name, function.web_url)] if function.web_url else []
    return own + [(f"{function.name}.{method.name}", method.web_url) for method in function.methods if method.web_url]
