"""The runner protocol: the runner, the agent and the page say what `node/runner_protocol.py` declares, and no more.

What a side writes and reads is found in its source, since most of it is written in one place each: frames are dict
literals with a "t", what goes on with a web request is one with a "k". What the runner really sends is checked beside,
wherever a scripted agent hears it (`complaint`, in tests/integration/runner).
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import wherry_runner
from tests.frames import complaint
from wherry_proto.messages import Format, Payload, WebKind, WebSpec
from wherry_runner import failures, inputs, link, output, payload, web_stream
from wherry_runner import frames as runner_side
from wherry_service import node as node_package
from wherry_service.calls.call import Call, Input
from wherry_service.node import frames, holdings, runner_frames, runner_link
from wherry_service.node import runner_protocol as protocol
from wherry_service.node.node import LoadOrder

RUNNER = Path(wherry_runner.__file__).parent
SERVICE = Path(node_package.__file__).parents[1]
PAGE = Path(__file__).parents[2] / "docs" / "internals" / "runner-protocol.md"


def dicts(*folders: Path) -> Iterator[tuple[str, dict[str, ast.expr]]]:
    """Yield each dict literal with its constant keys, and where it is."""
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            for found in ast.walk(ast.parse(path.read_text())):
                if isinstance(found, ast.Dict):
                    keys = {key.value: value for key, value in zip(found.keys, found.values, strict=True)
                            if isinstance(key, ast.Constant) and isinstance(key.value, str)}  # fmt: skip
                    yield f"{path.name}:{found.lineno}", keys


def named(keys: dict[str, ast.expr], key: str) -> str:
    """Return the text that a dict literal has there; "" where it is no text of its own."""
    value = keys.get(key)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


# Frames


def test_the_runner_writes_no_frame_and_no_field_that_is_not_declared() -> None:
    written: set[str] = set()
    for where, keys in dicts(RUNNER):
        if kind := named(keys, "t"):
            assert kind in protocol.FROM_RUNNER, f"{where}: a frame {kind!r}"
            declared = protocol.FROM_RUNNER[kind]
            unknown = set(keys) - {"t", *declared.fields, *declared.optional}
            assert not unknown, f"{where}: {kind!r} with {unknown}"
            written.add(kind)
    # Rows become frames in one place, of three kinds.
    written |= {link.OUTPUTS, link.YIELDS, link.LOG}
    assert written == set(protocol.FROM_RUNNER)
    assert set(failures.fields("exception", "T", "m")) == {"kind", "type", "message", "traceback"}


def test_the_runner_writes_rows_as_they_are_declared() -> None:
    found: set[str] = set()
    for path in RUNNER.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "put_row":
                kind = getattr(link, ast.unparse(call.args[0]))
                declared = protocol.FROM_RUNNER[kind]
                found.add(kind)
                for row in ast.walk(call.args[1]):
                    if isinstance(row, ast.List) and not any(isinstance(one, ast.Starred) for one in row.elts):
                        assert len(row.elts) in (len(declared.row), len(declared.row) + 1), ast.unparse(call)
    assert found == {link.OUTPUTS, link.YIELDS, link.LOG}


def test_the_agent_reads_each_frame_of_the_runner_and_no_others() -> None:
    read = runner_link.RunnerLink("co-1", set(), runner_link.LinkEvents(), runner_link.Runs(), lambda name, size: "")
    assert {"hello", *read._readers} == set(protocol.FROM_RUNNER)


def test_the_agent_reads_no_field_that_is_not_declared() -> None:
    source = Path(runner_link.__file__).read_text()
    read = set(re.findall(r"""(?:header\.get|_strings|_text|_known)\((?:header, )?"(\w+)\"""", source))
    assert read, "headers are read otherwise now: look for that here"
    known = {name for frame in protocol.FROM_RUNNER.values() for name in (*frame.fields, *frame.optional)}
    assert read <= known


LOAD = LoadOrder(
    app_id="ap-1", function_id="fu-1", name="f", module_name="m", qualname="f", serialized=b"s", source_id="",
    is_generator=False, is_async=False, concurrency=1, timeout_s=60, startup_timeout_s=60, max_batch_size=4,
    methods=(("f", True, False),), web={"": WebSpec(kind=WebKind.SERVER, port=80)},
)  # fmt: skip


def given() -> list[Input]:
    spawned = Call("fc-1", "fu-1", 4, None, "")
    spawned.durable = True
    value = Payload(format=Format.PICKLE, data=b"x", size=1)
    return [Input("in-1", spawned, 0, value), Input("in-2", spawned, 1, Payload(blob_id="bl-1", size=9), "method")]


def sent() -> list[tuple[dict[str, Any], list[bytes]]]:
    """Return all that an agent writes, with as many fields as there can be."""
    return [
        (runner_frames.welcome("co-1"), []),
        (runner_frames.load(LOAD), [b"", b"", b""]),
        *runner_frames.inputs(given(), lambda input_id: 7),
        (runner_frames.web("in-1", {"k": "took", "n": 3}), []),
        (runner_frames.cancel(["in-1"]), []),
        (runner_frames.recall(), []),
        (runner_frames.taken([("in-1", 3)]), []),
        (runner_frames.kept(["in-1"]), []),
        (runner_frames.drain(), []),
    ]


def test_the_agent_writes_what_is_declared_and_all_of_it() -> None:
    # What it never says, though runners understand it.
    unsaid = {"ping": set(), "load": {"exit_timeout_s"}}
    frames_sent = sent()
    for header, parts in frames_sent:
        assert complaint(protocol.FROM_AGENT, header, parts) == ""
        frame = protocol.FROM_AGENT[header["t"]]
        if header["t"] != "web":
            assert {*frame.fields, *frame.optional} - set(header) == unsaid.get(header["t"], set())
    assert {header["t"] for header, _ in frames_sent} | {"ping"} == set(protocol.FROM_AGENT)
    load = runner_frames.load(LOAD)
    objects = protocol.FROM_AGENT["load"].objects
    assert set(load["function"]) == set(objects["function"])
    assert set(load["function"]["web"][""]) == set(objects["web"])
    assert set(load["batch"]) == set(objects["batch"])
    assert runner_frames.load(replace(LOAD, max_batch_size=0))["batch"] is None


def test_the_agent_writes_frames_in_one_place() -> None:
    elsewhere = [where for where, keys in dicts(SERVICE) if "t" in keys and not where.startswith("runner_frames.py")]
    assert elsewhere == []


def test_the_runner_reads_each_frame_of_the_agent_and_no_field_that_is_not_declared() -> None:
    source = (RUNNER / "runner.py").read_text()
    understood = set(re.findall(r"""\bkind == "(\w+)\"""", source))
    # Nothing follows from it.
    assert understood | {"welcome"} == set(protocol.FROM_AGENT)
    known = {name for frame in protocol.FROM_AGENT.values() for name in (*frame.fields, *frame.optional)}
    known |= {name for names in protocol.FROM_AGENT["load"].objects.values() for name in names}
    own = {name for frame in protocol.FROM_RUNNER.values() for name in (*frame.fields, *frame.optional)}
    for path in (RUNNER / "runner.py", RUNNER / "loader.py", RUNNER / "web.py"):
        read = re.findall(r"""\b(?:header|frame|spec|function|batch)(?:\[|\.get\()"(\w+)\"""", path.read_text())
        assert set(read) - {"t", "parts"} <= known | own, path.name
        assert read


@pytest.mark.parametrize(
    ("header", "parts", "found"),
    [
        ({"t": "nod"}, [], "a frame 'nod'"),
        ({"t": "bye"}, [], "'bye' without 'code'"),
        ({"t": "bye", "code": 0, "why": ""}, [], "'bye' with 'why'"),
        ({"t": "outputs", "rows": [["in-1", 1, None, 3]]}, [b"abc"], "'outputs' with a row of 4"),
        ({"t": "outputs", "rows": [["in-1", 1, None, 3, 0]]}, [], "'outputs' with 0 parts for 1 rows"),
        ({"t": "pong"}, [b""], "'pong' with 1 parts"),
        ({"t": "web", "input": "in-1", "k": "took"}, [], "'took' without 'n'"),
        ({"t": "web", "input": "in-1", "k": "gone"}, [], "'gone' of the other side"),
        ({"t": "web", "input": "in-1", "k": "hush"}, [], "a kind 'hush'"),
    ],
)
def test_what_is_not_declared_is_noticed(header: dict[str, Any], parts: list[bytes], found: str) -> None:
    assert complaint(protocol.FROM_RUNNER, header, parts) == found


# What goes on with a web request


def test_both_sides_say_of_a_web_request_what_is_declared() -> None:
    said: dict[bool, set[str]] = {True: set(), False: set()}
    inside = {"interrupt", "end"}
    for by_runner, folders in ((True, (RUNNER,)), (False, (SERVICE / "ingress", SERVICE / "calls"))):
        for where, keys in dicts(*folders):
            if "k" not in keys or not (kind := named(keys, "k")) or (not by_runner and kind in inside):
                continue
            declared = protocol.WEB.get(kind)
            assert declared is not None, f"{where}: {kind!r}"
            assert declared.by_runner if by_runner else declared.by_agent, f"{where}: {kind!r}"
            assert set(keys) <= {"k", *declared.fields, *declared.optional}, f"{where}: {kind!r}"
            said[by_runner].add(kind)
    assert said[True] == {kind for kind, declared in protocol.WEB.items() if declared.by_runner}
    assert said[False] == {kind for kind, declared in protocol.WEB.items() if declared.by_agent}


def test_what_is_read_of_a_web_request_is_declared() -> None:
    fields = {name for kind in protocol.WEB.values() for name in (*kind.fields, *kind.optional)}
    places = [*RUNNER.glob("web_*.py"), RUNNER / "asgi.py", RUNNER / "wsgi.py", SERVICE / "calls" / "exchange.py"]
    for path in (*places, *(SERVICE / "ingress").glob("*.py")):
        source = path.read_text()
        kinds = set(re.findall(r"""header\["k"\] [!=]= "(\w+)\"""", source)) | set(
            re.findall(r"""\bkind == "(\w+)\"""", source)
        )
        if path.name not in ("web.py", "protocol.py"):
            assert kinds <= set(protocol.WEB) | {"interrupt"}, path.name
        read = set(re.findall(r"""\bheader(?:\[|\.get\()"(\w+)\"""", source))
        assert read <= fields | {"k", "t"}, path.name


# Limits


@pytest.mark.parametrize(
    ("declared", "own"),
    [
        (protocol.PROTOCOL, runner_side.PROTOCOL),
        (protocol.MAX_HEADER, runner_side.MAX_HEADER),
        (protocol.MAX_BODY_FROM_AGENT, runner_side.MAX_BODY),
        (protocol.MAX_PARTS, runner_side.MAX_PARTS),
        (protocol.MAX_INLINE, payload.INLINE_BYTES),
        (protocol.RUNNER_LINE, output.MAX_LINE),
        (protocol.MAX_TYPE, failures.MAX_TYPE),
        (protocol.MAX_MESSAGE, failures.MAX_MESSAGE),
        (protocol.MAX_TRACEBACK, failures.MAX_TRACEBACK),
        (protocol.RUNNER_AHEAD, inputs.WINDOW_VALUES),
        (protocol.RUNNER_AHEAD_BYTES, inputs.WINDOW_BYTES),
        (protocol.MAX_RESPONSE_HEADERS, web_stream.HEAD_BYTES),
    ],
)
def test_the_runner_keeps_the_limits_that_are_declared(declared: int, own: int) -> None:
    assert own == declared


def test_what_a_runner_sends_at_once_stays_far_below_the_limits() -> None:
    # A row more than what fits, and one more value.
    assert link.BODY_BYTES + payload.INLINE_BYTES < protocol.MAX_BODY_FROM_RUNNER
    assert link.LOG_BYTES + protocol.RUNNER_LINE < protocol.MAX_BODY_FROM_RUNNER
    assert link.MAX_ROWS < protocol.MAX_PARTS
    assert runner_frames.MAX_ROWS < protocol.MAX_PARTS
    assert runner_frames.MAX_BODY + protocol.MAX_INLINE < protocol.MAX_BODY_FROM_AGENT


def test_the_agent_has_the_limits_from_the_declaration() -> None:
    named_limits = {name for name in vars(protocol) if name.startswith(("MAX_", "RUNNER_"))}
    for module in (frames, runner_link, holdings):
        numbers = [
            found for found in ast.walk(ast.parse(Path(module.__file__ or "").read_text()))
            if isinstance(found, ast.Assign) and isinstance(found.targets[0], ast.Name)
            and found.targets[0].id.lstrip("_") in named_limits
        ]  # fmt: skip
        assert numbers == [], module.__name__


# The page


def table(after: str, page: str) -> dict[str, str]:
    """Return a table's rows behind a heading: the first cell, and the others."""
    lines = page[page.index(after) :].splitlines()
    rows: dict[str, str] = {}
    for line in lines[1:]:
        if line.startswith("| ") and not line.startswith(("| `t`", "| `k`", "| limit")):
            first, _, rest = line.strip("|").partition("|")
            rows[first.strip().strip("`")] = rest.strip()
        elif rows:
            break
    return rows


@pytest.mark.parametrize(("heading", "side"), [("## From the runner", "runner"), ("## From the agent", "agent")])
def test_the_page_names_each_frame_and_each_field_and_no_others(heading: str, side: str) -> None:
    declared = protocol.FROM_RUNNER if side == "runner" else protocol.FROM_AGENT
    rows = table(heading, PAGE.read_text())
    # It has a section of its own.
    assert set(rows) == set(declared) - {"web"}
    for kind, text in rows.items():
        frame = declared[kind]
        names = set(re.findall(r"`(\w+)`", text))
        known = {*frame.fields, *frame.optional, *(name for names in frame.objects.values() for name in names)}
        if kind == "load_failed":
            # "as `failure`, without `input`".
            assert names == {"failure", "input"}
            continue
        own = known - set(frame.objects.get("web", ())) - set(frame.objects.get("batch", ())) - {"web"}
        bare = {word for word in own if not re.search(rf"\b{word}\b", text)}
        assert not bare, f"{kind}: the page lacks {bare}"
        others = {*protocol.FAILURE_KINDS, *protocol.FROM_AGENT, *protocol.FROM_RUNNER, *frame.row}
        assert names <= known | others, f"{kind}: the page has {names - known - others}"
        if frame.row:
            (row,) = re.findall(r"`\[\[(.*?)\], …\]`", text)
            assert len(row.split(", ")) == len(frame.row), kind


def test_the_page_names_what_goes_on_with_web_requests() -> None:
    page = PAGE.read_text()
    rows = table("While the input is held", page)
    assert set(rows) == set(protocol.WEB)
    for kind, text in rows.items():
        declared = protocol.WEB[kind]
        sender, _, rest = text.partition("|")
        assert (
            sender.strip()
            == {(True, True): "both", (True, False): "runner", (False, True): "agent"}[
                declared.by_runner, declared.by_agent
            ]
        )
        names = set(re.findall(r"`(\w+)`", rest)) - {"waits"}
        assert names == {*declared.fields, *declared.optional}, kind
    for name in protocol.FROM_AGENT["load"].objects["web"]:
        assert f"`{name}`" in page


def size(value: int) -> str:
    return f"{value >> 20} MiB" if not value % (1 << 20) else f"{value >> 10} KiB" if value >= 1024 else f"{value} B"


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ("header", [size(protocol.MAX_HEADER)]),
        ("body, from the runner", [size(protocol.MAX_BODY_FROM_RUNNER)]),
        ("body, from the agent", [size(protocol.MAX_BODY_FROM_AGENT)]),
        ("one inline payload", [size(protocol.MAX_INLINE)]),
        ("parts in a frame", [str(protocol.MAX_PARTS)]),
        ("an id / a count / a blob's bytes", [f"{protocol.MAX_ID} characters", "2^31", "2^63"]),
        ("a line", [size(protocol.MAX_LINE), size(protocol.RUNNER_LINE)]),
        (
            "values of a generator that its caller has not taken",
            [
                f"{protocol.MAX_AHEAD}, {size(protocol.MAX_AHEAD_BYTES)}",
                f"{protocol.RUNNER_AHEAD}, {size(protocol.RUNNER_AHEAD_BYTES)}",
            ],
        ),
        ("a response's headers", [size(protocol.MAX_RESPONSE_HEADERS)]),
        ("log text in a frame", [size(link.LOG_BYTES)]),
        (
            "exception type name / message / traceback text",
            [f"{size(protocol.MAX_TYPE)} / {size(protocol.MAX_MESSAGE)} / {size(protocol.MAX_TRACEBACK)}"],
        ),
    ],
)
def test_the_page_has_the_limits(row: str, shown: list[str]) -> None:
    text = table("The header's `t` is", PAGE.read_text())[row]
    for value in shown:
        assert re.search(rf"(?<!\d){re.escape(value)}(?!\d)", text), value
