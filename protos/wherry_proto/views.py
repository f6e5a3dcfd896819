"""What messages look like to people's programs: the JSON of `--json`, of the HTTP API and of the pages.

Names are added, and never removed or given another meaning. Times are local, with their offset, in ISO format; None
stands for what is not there.
"""

from typing import Any

from wherry_proto.messages import (
    AppInfo,
    AppState,
    AuditEntry,
    CallKind,
    ContainerInfo,
    Deployment,
    DeploymentState,
    EnvironmentInfo,
    FunctionInfo,
    FunctionStatus,
    ImageInfo,
    ImageName,
    ImageState,
    LogLine,
    ObjectInfo,
    PoolSettings,
    Record,
    RecordState,
    Resources,
    SandboxInfo,
    SandboxState,
    ScheduledRun,
    ScheduledState,
    ScheduleInfo,
    ScheduleSpec,
    SecretInfo,
    Stream,
    TokenInfo,
)
from wherry_proto.times import iso, stamp

View = dict[str, Any]

APP_STATES = {
    AppState.EPHEMERAL: "ephemeral",
    AppState.DETACHED: "detached",
    AppState.DEPLOYED: "deployed",
    AppState.STOPPED: "stopped",
}
DEPLOYMENT_STATES = {
    DeploymentState.LIVE: "live",
    DeploymentState.SUPERSEDED: "superseded",
    DeploymentState.FAILED: "failed",
}
IMAGE_STATES = {
    ImageState.BUILDING: "building",
    ImageState.BUILT: "built",
    ImageState.FAILED: "failed",
    ImageState.PRUNED: "removed",
    ImageState.STOPPED: "stopped",
}
SANDBOX_STATES = {
    SandboxState.RUNNING: "running",
    SandboxState.EXITED: "exited",
    SandboxState.TIMED_OUT: "timed out",
    SandboxState.TERMINATED: "terminated",
}
RUN_STATES = {
    ScheduledState.RUNNING: "running",
    ScheduledState.SUCCEEDED: "succeeded",
    ScheduledState.FAILED: "failed",
    ScheduledState.SKIPPED: "skipped",
}
RECORD_STATES = {
    RecordState.QUEUED: "queued",
    RecordState.RUNNING: "running",
    RecordState.RETRYING: "retrying",
    RecordState.SUCCEEDED: "succeeded",
    RecordState.FAILED: "failed",
    RecordState.TIMEOUT: "timeout",
    RecordState.CANCELLED: "cancelled",
    RecordState.LOST: "lost",
    RecordState.REJECTED: "rejected",
}
CALL_KINDS = {
    CallKind.REMOTE: "remote",
    CallKind.MAP: "map",
    CallKind.GENERATOR: "generator",
    CallKind.SPAWN: "spawn",
    CallKind.SPAWN_MAP: "spawn_map",
    CallKind.WEB: "web",
    CallKind.SCHEDULE: "schedule",
}
STREAMS = {Stream.STDOUT: "stdout", Stream.STDERR: "stderr", Stream.SYSTEM: "system"}
_ENTRY = ("token_id", "token_name", "action", "environment", "target", "outcome", "peer")
_PERIOD = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")


def time_of(ms: int) -> str | None:
    """Return local time in ISO format, None for 0."""
    return iso(ms) or None


def app(info: AppInfo) -> View:
    return {
        "app_id": info.app_id,
        "name": info.name,
        "environment": info.environment,
        "state": APP_STATES.get(info.state),
        "version": info.version or None,
        "functions": info.num_functions,
        "containers": info.num_containers,
        "url": info.url or None,
        "last_error": info.last_error or None,
        "last_error_at": time_of(info.last_error_at_ms),
        "created_at": time_of(info.created_at_ms),
        "stopped_at": time_of(info.stopped_at_ms),
    }


def deployment(one: Deployment) -> View:
    """Return a version of an app."""
    origin = one.origin
    return {
        "version": one.version,
        "deployment_id": one.deployment_id,
        "state": DEPLOYMENT_STATES.get(one.state),
        "deployed_at": time_of(one.created_at_ms),
        "by": deployed_by(one),
        "tag": origin.tag if origin is not None else "",
        "commit": origin.commit if origin is not None else "",
        "dirty": bool(origin is not None and origin.dirty),
        "rollback_of": one.rollback_of or None,
        "error": one.error,
        "functions": [item.spec.name for item in one.functions if item.spec is not None],
    }


def deployed_by(one: Deployment) -> str:
    """Return the name of the token that a version was deployed with."""
    return one.origin.token_name if one.origin is not None and one.origin.token_name else "local"


def function(status: FunctionStatus, next_runs: dict[str, list[str | None]]) -> View:
    """Return a function without its app; `next_runs` are those of schedules, by function id."""
    assert status.function is not None
    return {
        "function_id": status.function.function_id,
        "name": status.function.name,
        "image_id": status.image_id,
        "containers": status.num_containers,
        "waiting": status.backlog,
        "running": status.num_running,
        "succeeded": status.num_succeeded,
        "failed": status.num_failed,
        "last_error": status.last_error or None,
        "variants": status.num_variants,
        "settings": settings(status),
        "urls": [url for _, url in urls_of(status.function)],
        "next_runs": next_runs.get(status.function.function_id, []),
    }


def listed_function(status: FunctionStatus) -> View:
    """Return a function as one of a list."""
    assert status.function is not None
    return {"app_name": status.function.app_name, **function(status, {})}


def settings(status: FunctionStatus) -> View:
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


def urls_of(info: FunctionInfo) -> list[tuple[str, str]]:
    """Return names and URLs of a function's, or a class's, web endpoints."""
    own = [(info.name, info.web_url)] if info.web_url else []
    return own + [(f"{info.name}.{method.name}", method.web_url) for method in info.methods if method.web_url]


def container(info: ContainerInfo) -> View:
    return {
        "container_id": info.container_id,
        "app_id": info.app_id,
        "app_name": info.app_name,
        "function_id": info.function_id,
        "function_name": info.function_name,
        "state": info.state,
        "inputs": info.num_inputs,
        "execs": info.num_execs,
        "cores": round(info.cores, 3),
        "memory_bytes": info.seen_memory_bytes or None,
        "created_at": time_of(info.created_at_ms),
    }


def image(info: ImageInfo) -> View:
    return {
        "image_id": info.image_id,
        "state": IMAGE_STATES.get(info.state, "not built"),
        "steps": info.summary,
        "size_bytes": info.size_bytes,
        "built_at": time_of(info.built_at_ms),
        "used_at": time_of(info.used_at_ms),
        "build_seconds": round(info.seconds, 1),
        "error": info.error,
        "apps": list(info.apps),
    }


def image_name(one: ImageName) -> View:
    return {
        "name": one.name,
        "environment": one.environment,
        "image_id": one.image_id,
        "published_at": time_of(one.published_at_ms),
    }


def sandbox(info: SandboxInfo) -> View:
    return {
        "sandbox_id": info.sandbox_id,
        "app_id": info.app_id or None,
        "app_name": info.app_name or None,
        "environment": info.environment,
        "name": info.name or None,
        "tags": info.tags,
        "state": SANDBOX_STATES.get(info.state),
        "returncode": info.returncode if info.state != SandboxState.RUNNING else None,
        "reason": info.reason or None,
        "command": info.command,
        "image_id": info.image_id,
        "timeout": info.timeout_s,
        "tunnels": {str(item.port): f"{item.host}:{item.host_port}" for item in info.tunnels},
        "created_at": time_of(info.created_at_ms),
        "ended_at": time_of(info.ended_at_ms),
    }


def schedule(info: ScheduleInfo) -> View:
    """Return a function that has a schedule."""
    assert info.schedule is not None
    return {
        "function_id": info.function_id,
        "function": info.function_name,
        "app_id": info.app_id,
        "app": info.app_name,
        "environment": info.environment,
        "schedule": schedule_text(info.schedule),
        "paused": info.paused,
        "next": [iso(ms) for ms in info.next_ms],
        "last": _run(info.last) if info.last is not None else None,
        "last_ended": _run(info.last_ended) if info.last_ended is not None else None,
    }


def schedule_text(spec: ScheduleSpec) -> str:
    """Return a schedule as it is written in a program."""
    if spec.cron:
        zone = "" if spec.timezone in ("", "UTC") else f", timezone={spec.timezone!r}"
        return f"Cron({spec.cron!r}{zone})"
    parts: dict[str, float] = {name: getattr(spec, name) for name in _PERIOD}
    parts["seconds"] = int(spec.seconds) if spec.seconds.is_integer() else spec.seconds
    return f"Period({', '.join(f'{name}={value!r}' for name, value in parts.items() if value)})"


def _run(run: ScheduledRun) -> View:
    return {
        "due_at": iso(run.tick_ms),
        "call_id": run.call_id or None,
        "state": RUN_STATES.get(run.state),
        "finished_at": iso(run.finished_at_ms) if run.finished_at_ms else None,
        "error": run.error or None,
        "asked_for": run.manual,
    }


def secret(info: SecretInfo) -> View:
    """Return a secret: the names of its values, and none of these."""
    return {
        "secret_id": info.secret_id,
        "name": info.name,
        "environment": info.environment,
        "keys": info.keys,
        "created_at": time_of(info.created_at_ms),
        "updated_at": time_of(info.updated_at_ms),
        "used_at": time_of(info.used_at_ms),
    }


def shared_object(info: ObjectInfo, kind: str, counted: str = "") -> View:
    """Return a dict, queue or volume; `counted` is what it holds so many of, "" where that is not counted."""
    return {
        f"{kind}_id": info.object_id,
        "name": info.name,
        "environment": info.environment,
        **({counted: info.num_items} if counted else {}),
        "created_at": time_of(info.created_at_ms),
    }


def environment(info: EnvironmentInfo) -> View:
    return {
        "name": info.name,
        "apps": info.num_apps,
        "sandboxes": info.num_sandboxes,
        "objects": info.num_objects,
        "created_at": time_of(info.created_at_ms),
    }


def token(info: TokenInfo) -> View:
    return {
        "token_id": info.token_id,
        "name": info.name,
        "scopes": info.scopes,
        "environments": info.environments,
        "created_at": time_of(info.created_at_ms),
        "revoked_at": time_of(info.revoked_at_ms),
    }


def audit_entry(entry: AuditEntry) -> View:
    return {"at": time_of(entry.at_ms), **{name: getattr(entry, name) for name in _ENTRY}}


def log_line(line: LogLine) -> View:
    return {
        "at": stamp(line.at_ms),
        "stream": STREAMS.get(line.stream),
        "text": line.text,
        "app_id": line.app_id,
        "function_id": line.function_id,
        "container_id": line.container_id,
        "call_id": line.call_id or None,
        "input_id": line.input_id or None,
        "goes_on": line.goes_on,
    }


def record(one: Record) -> View:
    """Return what became of an input: times in ms, which order calls, and in words."""
    return {
        "input_id": one.input_id,
        "call_id": one.call_id,
        "index": one.index,
        "parent_input_id": one.parent_input_id or None,
        "environment": one.environment,
        "app_id": one.app_id,
        "app_name": one.app_name,
        "function_id": one.function_id,
        "function_name": one.function_name,
        "method": one.method or None,
        "version": one.version or None,
        "kind": CALL_KINDS.get(one.kind, "unknown"),
        "state": RECORD_STATES.get(one.state, "unknown"),
        "queued_at": time_of(one.queued_ms),
        "started_at": time_of(one.started_ms),
        "ended_at": time_of(one.ended_ms),
        "queued_ms": one.queued_ms or None,
        "started_ms": one.started_ms or None,
        "ended_ms": one.ended_ms or None,
        "queue_seconds": _seconds(one.queued_ms, one.started_ms or one.ended_ms),
        "run_seconds": _seconds(one.started_ms, one.ended_ms),
        "container_id": one.container_id or None,
        "retries": one.retries,
        "losses": one.losses,
        "argument_bytes": one.argument_bytes,
        "result_bytes": one.result_bytes,
        "error": one.error or None,
        "kept": one.kept,
        "replay_of": one.replay_of or None,
        "replayed_by": one.replayed_by or None,
    }


def _seconds(from_ms: int, to_ms: int) -> float | None:
    return max(0, to_ms - from_ms) / 1000 if from_ms and to_ms else None
