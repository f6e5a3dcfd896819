"""What the agent writes to a runner: the headers and parts of its frames (docs/internals/runner-protocol.md)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from wherry_proto.messages import WebKind, WebSpec
from wherry_service.node.frames import Header
from wherry_service.node.node import Assignment, LoadOrder
from wherry_service.node.runner_protocol import PROTOCOL

# Inputs, and bytes of them, that go into one frame.
MAX_ROWS = 256
MAX_BODY = 8 << 20
Row = list[str | int | None]
_WEB_KINDS = {WebKind.ENDPOINT: "endpoint", WebKind.ASGI: "asgi", WebKind.WSGI: "wsgi"}


def welcome(container_id: str) -> Header:
    """Answer a hello."""
    return {"t": "welcome", "protocol": PROTOCOL, "container_id": container_id}


def load(order: LoadOrder) -> Header:
    """Say which function to load; the parts are its pickle, a class's arguments, and the values of secrets."""
    return {
        "t": "load",
        "function": {
            "name": order.name,
            "function_id": order.function_id,
            "app_id": order.app_id,
            "module": order.module_name,
            "qualname": order.qualname,
            "is_generator": order.is_generator,
            "is_async": order.is_async,
            "methods": order.methods,
            "web": {name: _web_function(spec) for name, spec in order.web.items()},
            "python": order.python,
        },
        "concurrency": order.concurrency,
        "batch": {"max_size": order.max_batch_size, "wait_ms": order.batch_wait_ms} if order.max_batch_size else None,
        "timeout_s": order.timeout_s,
        "startup_timeout_s": order.startup_timeout_s,
        "env": dict(order.env),
        "import_only": order.import_only,
    }


def _web_function(spec: WebSpec) -> Header:
    return {
        "kind": _WEB_KINDS.get(spec.kind, "server"),
        "method": spec.method,
        "docs": spec.docs,
        "port": spec.port,
        "port_timeout_s": spec.port_timeout_s,
        # Of a class that is a server; None: a function starts it.
        "exit_grace_s": spec.server.exit_grace_s if spec.server is not None else None,
    }


def inputs(
    items: Sequence[Assignment], number: Callable[[str], int] | None = None
) -> Iterator[tuple[Header, list[bytes]]]:
    """Hand over inputs, in as many frames as they need; `number` numbers runs, where the function yields values."""
    rows: list[Row] = []
    parts: list[bytes] = []
    keep: list[str] = []
    runs: list[int] = []
    size = 0
    for item in items:
        payload = item.payload
        row: Row = [item.input_id, item.shown_call_id, payload.format, payload.blob_id or None]
        if item.method:
            row.append(item.method)
        rows.append(row)
        parts.append(payload.data)
        size += len(payload.data)
        if item.is_durable:
            keep.append(item.input_id)
        if number is not None:
            runs.append(number(item.input_id))
        if len(rows) >= MAX_ROWS or size >= MAX_BODY:
            yield _inputs(rows, keep, runs), parts
            rows, parts, keep, runs, size = [], [], [], [], 0
    if rows:
        yield _inputs(rows, keep, runs), parts


def _inputs(rows: list[Row], keep: list[str], runs: list[int]) -> Header:
    header: Header = {"t": "inputs", "rows": rows}
    if keep:
        header["keep"] = keep
    if runs:
        header["runs"] = runs
    return header


def web(input_id: str, said: Mapping[str, Any]) -> Header:
    """Say something on an input's stream: `said` has its kind at "k"."""
    return {**said, "t": "web", "input": input_id}


def cancel(input_ids: Sequence[str]) -> Header:
    """Have inputs interrupted or dropped."""
    return {"t": "cancel", "inputs": list(input_ids)}


def recall() -> Header:
    """Ask for the inputs that have not started."""
    return {"t": "recall"}


def taken(rows: Sequence[tuple[str, int]]) -> Header:
    """Say how far callers have taken the values of generators: below which index."""
    return {"t": "taken", "rows": rows}


def kept(input_ids: Sequence[str]) -> Header:
    """Say that the answers of durable inputs are on disk, or of no use."""
    return {"t": "kept", "inputs": list(input_ids)}


def drain() -> Header:
    """Have it finish what it holds, and exit."""
    return {"t": "drain"}
