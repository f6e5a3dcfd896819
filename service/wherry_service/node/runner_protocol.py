"""The runner protocol, declared once: frames, their fields, and limits.

The agent's side is made of this. The runner, whose every import costs a cold start, has the names and numbers written
out; `tests/unit/test_runner_protocol.py` holds it, and docs/internals/runner-protocol.md, to what is here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

PROTOCOL = 1

# Bytes of a frame's header; of its body, from either side: a runner sends 2 MiB at most.
MAX_HEADER = 1 << 20
MAX_BODY_FROM_RUNNER = 4 << 20
MAX_BODY_FROM_AGENT = 16 << 20
MAX_PARTS = 4096
# A larger value goes beside the socket.
MAX_INLINE = 1 << 20
# Of an id; what one input may have yielded; bytes of a blob: what the database and gRPC can hold.
MAX_ID = 64
MAX_COUNT = (1 << 31) - 1
MAX_SIZE = (1 << 63) - 1
# Seconds of a start.
MAX_SECONDS = 1e6
# In the year 6429: what is later may be none that a calendar knows.
MAX_TIME_MS = 1 << 47
# One line, or the piece of one; the runner cuts much earlier.
MAX_LINE = 256 << 10
RUNNER_LINE = 64 << 10
# Of a failure.
MAX_TYPE = 256
MAX_MESSAGE = 64 << 10
MAX_TRACEBACK = 256 << 10
# How far a generator may be ahead of its caller, in values and bytes. The runner waits much earlier: what `taken` says
# is on its way meanwhile.
MAX_AHEAD = 2048
MAX_AHEAD_BYTES = 32 << 20
RUNNER_AHEAD = 512
RUNNER_AHEAD_BYTES = 8 << 20
# Of a response.
MAX_RESPONSE_HEADERS = 64 << 10
# Fields of a `web` frame.
MAX_WEB_FIELDS = 16

# Kinds of failures.
FAILURE_KINDS = ("exception", "timeout", "cancelled", "serialization")


@dataclass(frozen=True, slots=True)
class Frame:
    """A type of frame: what its header has beside `t` and `parts`."""

    fields: tuple[str, ...] = ()
    # Those that may be missing.
    optional: tuple[str, ...] = ()
    # Where it has `rows`: the fields of each, in order, and one that may follow them.
    row: tuple[str, ...] = ()
    row_end: str = ""
    # The fields of objects in the header, by the field that has them.
    objects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Parts: one for each row, or at most so many.
    parts_by_row: bool = False
    max_parts: int = 0


_FAILURE = ("kind", "type", "message", "traceback")

FROM_RUNNER: Mapping[str, Frame] = {
    "hello": Frame(("protocol", "python", "pid", "running", "loaded")),
    "ready": Frame(("seconds",)),
    "load_failed": Frame(_FAILURE, max_parts=1),
    "log": Frame(("rows",), row=("stream", "input", "at_ms"), row_end="goes_on", parts_by_row=True),
    "outputs": Frame(
        ("rows",), row=("input", "format", "blob", "size", "num_yields"), row_end="run", parts_by_row=True
    ),
    "yields": Frame(("rows",), row=("input", "index", "format", "blob", "size"), row_end="run", parts_by_row=True),
    "failure": Frame(("input", *_FAILURE, "num_yields"), optional=("run",), max_parts=1),
    "returned": Frame(("inputs",)),
    "web": Frame(("input", "k"), max_parts=1),
    "pong": Frame(),
    "bye": Frame(("code",)),
}

FROM_AGENT: Mapping[str, Frame] = {
    "welcome": Frame(("protocol", "container_id")),
    "load": Frame(
        ("function", "concurrency", "batch", "timeout_s", "startup_timeout_s", "env", "import_only"),
        optional=("exit_timeout_s",),
        objects={
            "function": (
                "name", "function_id", "app_id", "module", "qualname", "is_generator", "is_async", "python", "methods",
                "web",
            ),
            "web": ("kind", "method", "docs", "port", "port_timeout_s", "exit_grace_s"),
            "batch": ("max_size", "wait_ms"),
        },
        max_parts=3,
    ),
    "inputs": Frame(
        ("rows",), optional=("keep", "runs"), row=("input", "call", "format", "blob"), row_end="method",
        parts_by_row=True,
    ),
    "web": Frame(("input", "k"), max_parts=1),
    "cancel": Frame(("inputs",)),
    "recall": Frame(),
    "taken": Frame(("rows",), row=("input", "index")),
    "kept": Frame(("inputs",)),
    "drain": Frame(),
    "ping": Frame(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WebKind:
    """A kind of `web` frame, by its `k`: who says it, and what is beside `k` and `input`."""

    by_runner: bool
    by_agent: bool
    fields: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


WEB: Mapping[str, WebKind] = {
    "body": WebKind(True, True, ("more",)),
    "message": WebKind(True, True, ("text",), optional=("more",)),
    "gone": WebKind(False, True, optional=("code", "reason")),
    "start": WebKind(True, False, ("status", "headers"), optional=("fault",)),
    "accept": WebKind(True, False, ("subprotocol", "headers"), optional=("fault",)),
    "close": WebKind(True, False, ("code", "reason")),
    "want": WebKind(True, False),
    "took": WebKind(True, True, ("n",)),
}
# Those that begin or end a response: their headers are large.
WEB_HEADS = ("start", "accept", "close")
