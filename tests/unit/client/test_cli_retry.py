"""`wherry call retry` and `wherry call debug`, and the same in the SDK, on a fake service."""

import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fakes.records import Recorded, record
from wherry import Function, FunctionCall, exception
from wherry._connection.client import Client
from wherry._publish import debugging
from wherry.cli import _replay
from wherry_proto.messages import (
    FunctionSpec,
    KeptInput,
    MethodSpec,
    Payload,
    PoolSettings,
    ReplayArguments,
    ReplayArgumentsRequest,
    ReplayedInput,
    ReplayListRequest,
    ReplayListResponse,
    ReplayRunRequest,
    ReplayRunResponse,
    ReplayVersion,
    Resources,
    SandboxCreateRequest,
    SandboxInfo,
    VolumeMount,
)

Run = Callable[..., int]
Told = pytest.CaptureFixture[str]
MANY = "fc-01KB8ZQ4M3MANY000000000000"


def kept(name: str, **changed: Any) -> KeptInput:
    digits = "01KB8ZQ4M3" + name.ljust(16, "0")
    given: dict[str, Any] = {
        "input_id": f"in-{digits}",
        "call_id": f"fc-{digits}",
        "app_name": "shop",
        "function_name": "price",
        "error": "ValueError: row 17",
        "failed_ms": 1_764_459_516_547,
    }
    return KeptInput(**{**given, **changed})


A, B = kept("A"), kept("B", function_name="Room", method="area")


class Replayable(Recorded):
    """Has failed inputs, of which some do not run again."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = [B, A]
        self.problems: dict[str, str] = {}
        self.function = FunctionSpec()

    def _replays_list(self, request: ReplayListRequest) -> ReplayListResponse:
        found = [
            one
            for one in self.inputs
            if request.call_id in ("", one.call_id, f"fc-{one.input_id[3:]}") and request.search in one.error
        ]
        begin = int(request.after or 0)
        more = str(begin + 1) if begin + 1 < len(found) else ""
        return ReplayListResponse(inputs=found[begin : begin + 1], next=more)

    def _replays_run(self, request: ReplayRunRequest) -> ReplayRunResponse:
        return ReplayRunResponse(
            inputs=[
                ReplayedInput(input_id=one, problem=self.problems[one])
                if one in self.problems
                else ReplayedInput(input_id=one, new_input_id=f"in-{one[3:-1]}9", call_id=f"fc-{one[3:-1]}9")
                for one in request.input_ids
            ]
        )

    def _replays_arguments(self, request: ReplayArgumentsRequest) -> ReplayArguments:
        (found,) = [one for one in self.inputs if one.input_id == request.input_id]
        payload = Payload(format=1, data=pickle.dumps(((1,), {"b": 2})))
        return ReplayArguments(input=found, payload=payload, function=None if request.bare else self.function)

    def _sandboxes_create(self, request: SandboxCreateRequest) -> SandboxInfo:
        return SandboxInfo(sandbox_id=request.sandbox_id)

    def asked(self, method: str) -> Any:
        return next(request for name, request in reversed(self.requests) if name == method)


@pytest.fixture
def service() -> Replayable:
    service = Replayable()
    service.records = [record("A")]
    return service


def again(one: KeptInput) -> str:
    return f"fc-{one.input_id[3:-1]}9"


def test_one_runs_again_by_its_id(run: Run, capsys: Told, service: Replayable) -> None:
    for given in (A.input_id, A.call_id, A.input_id[:14]):
        assert run("", "call", "retry", given) == 0
        assert capsys.readouterr().out == f"{A.input_id} of shop/price runs again: {again(A)}\n"
    request: ReplayRunRequest = service.asked("Replays.Run")
    assert (request.input_ids, request.version, request.environment) == ([A.input_id], ReplayVersion.NEWEST, "main")
    assert request.operation_id.startswith("op-")


def test_many_run_again_as_options_choose_the_oldest_first(run: Run, capsys: Told, service: Replayable) -> None:
    options = ("--app", "shop", "--function", "price", "--since", "2h", "--error", "row", "--version", "failed")
    assert run("", "call", "retry", *options, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(one["input_id"], one["call_id"]) for one in shown] == [(A.input_id, again(A)), (B.input_id, again(B))]
    assert [one["function"] for one in shown] == ["shop/price", "shop/Room.area"]
    asked: ReplayListRequest = service.asked("Replays.List")
    assert (asked.app, asked.function, asked.search, asked.only_left) == ("shop", "price", "row", True)
    assert asked.since_ms > 0
    assert service.asked("Replays.Run").version == ReplayVersion.FAILED


def test_what_does_not_run_again_says_why_and_is_an_error(run: Run, capsys: Told, service: Replayable) -> None:
    service.problems[A.input_id] = "version 1 is gone"
    assert run("", "call", "retry", A.input_id, B.input_id) == 1
    out, err = capsys.readouterr()
    assert out == f"{B.input_id} of shop/Room.area runs again: {again(B)}\n"
    assert f"{A.input_id} does not run again: version 1 is gone" in err
    assert "1 failed input runs again" in err


def test_one_that_is_named_twice_runs_again_once(run: Run, capsys: Told, service: Replayable) -> None:
    assert run("", "call", "retry", *([A.input_id, A.call_id] * 6), B.input_id) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert service.asked("Replays.Run").input_ids == [A.input_id, B.input_id]


def test_what_is_not_kept_does_not_keep_the_others_from_running(run: Run, capsys: Told, service: Replayable) -> None:
    good = kept("Z")
    for gone in (good.input_id, good.call_id):
        assert run("", "call", "retry", gone, A.input_id, A.call_id) == 1
        out, err = capsys.readouterr()
        assert out == f"{A.input_id} of shop/price runs again: {again(A)}\n"
        assert f"{gone} does not run again: no failed input {gone} is kept: it has not failed" in err
        assert service.asked("Replays.Run").input_ids == [A.input_id]
    assert run("", "call", "retry", A.input_id, good.input_id, "--json") == 1
    shown = {one["input_id"]: one for one in json.loads(capsys.readouterr().out)}
    assert (shown[A.input_id]["call_id"], shown[A.input_id]["problem"]) == (again(A), None)
    assert "is kept" in shown[good.input_id]["problem"]


def test_a_dry_run_says_what_would_not_run(run: Run, capsys: Told, service: Replayable) -> None:
    good = kept("Z").input_id
    assert run("", "call", "retry", "--dry-run", good, A.input_id) == 1
    out, err = capsys.readouterr()
    assert out == f"{A.input_id}  shop/price  ValueError: row 17\n"
    assert f"{good} would not run again: no failed input" in err
    assert "1 failed input would run again" in err
    assert run("", "call", "retry", "--dry-run", "--json", good, A.input_id) == 1
    assert ["problem" in one for one in json.loads(capsys.readouterr().out)] == [False, True]
    assert run("", "call", "retry", good, kept("Y").input_id) == 1
    assert "Nothing runs again." in capsys.readouterr().err
    assert not [name for name, _ in service.requests if name == "Replays.Run"]


def test_more_than_a_few_are_asked_about(run: Run, capsys: Told, service: Replayable) -> None:
    service.inputs = [kept(f"N{number:02}") for number in range(11)]
    assert run("", "call", "retry", "--app", "shop") == 1
    assert "Run 11 failed inputs again, on the newest version?" in capsys.readouterr().err
    assert not [name for name, _ in service.requests if name == "Replays.Run"]
    assert run("", "call", "retry", "--app", "shop", "-y") == 0
    assert len(capsys.readouterr().out.splitlines()) == 11


def test_a_dry_run_only_shows(run: Run, capsys: Told, service: Replayable) -> None:
    assert run("", "call", "retry", "--error", "row", "--dry-run") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == f"{A.input_id}  shop/price  ValueError: row 17"
    assert "2 failed inputs would run again" in err
    assert not [name for name, _ in service.requests if name == "Replays.Run"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "say which failed inputs"),
        ((A.input_id, "--app", "shop"), "say which failed inputs"),
        (("--app", "shop", "--version", "3"), "version is '3'"),
        (("--app", "shop", "--since", "1h", "--until", "2h"), "nothing failed between them"),
        (("fu-1",), "is no id of a call"),
        (("in-01KB8ZQ4M3000000000000000Z",), "no failed input in-01KB8ZQ4M3000000000000000Z is kept"),
    ],
)
def test_what_is_not_understood_is_named(run: Run, capsys: Told, args: tuple[str, ...], says: str) -> None:
    assert run("", "call", "retry", *args) != 0
    assert says in capsys.readouterr().err


# debug


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What was put into the container, and what ran there."""
    found: dict[str, Any] = {"files": {}}

    def put(client: Any, container_id: str, name: str, data: bytes) -> None:
        found["files"][name] = data

    def execute(client: Any, container_id: str, line: list[str], *, pty: bool | None) -> int:
        found.update(container=container_id, line=line)
        return 7

    monkeypatch.setattr(debugging, "_put", put)
    monkeypatch.setattr(_replay, "execute", execute)
    return found


def test_an_input_is_opened_in_a_container_as_its_functions(
    run: Run, service: Replayable, opened: dict[str, Any]
) -> None:
    service.function = FunctionSpec(
        name="Room",
        module_name="shop",
        qualname="Room",
        image_id="im-1",
        source_id="so-1",
        env={"A": "1", "PYTHONPATH": "/own"},
        secret_ids=["st-1"],
        volumes=[VolumeMount(volume_id="vo-1", path="/data")],
        network_file_systems=[VolumeMount(volume_id="vo-2", path="/nfs")],
        resources=Resources(memory_limit_mib=64),
        pool=PoolSettings(max_batch_size=0),
        methods=[MethodSpec(name="area", is_generator=True)],
        parameters=Payload(data=b"parameters"),
        block_network=True,
    )
    assert run("", "call", "debug", B.input_id) == 7
    assert service.asked("Replays.Arguments").version == ReplayVersion.FAILED
    spec = service.asked("Sandboxes.Create").spec
    assert (spec.image_id, spec.source_id, spec.secret_ids, spec.block_network) == ("im-1", "so-1", ["st-1"], True)
    assert [mount.path for mount in spec.volumes] == ["/data", "/nfs"]
    assert (spec.env["A"], spec.env["PYTHONPATH"]) == ("1", "/run/wherry/source:/wherry/sdk:/own")
    assert (spec.with_sdk, spec.only_waits, spec.resources.memory_limit_mib) == (True, True, 64)
    assert pickle.loads(opened["files"]["arguments"]) == ((1,), {"b": 2})
    assert opened["files"]["parameters"] == b"parameters"
    facts = json.loads(opened["files"]["function.json"])
    assert (facts["method"], facts["is_generator"], facts["function"]["module"]) == ("area", True, "shop")
    assert opened["line"][-2:] == ["prompt", ""]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--pdb",), ["pdb", ""]),
        (("--breakpoint",), ["breakpoint", ""]),
        (("--python",), ["prompt", ""]),
        (("-c", "print(args)"), ["code", "print(args)"]),
    ],
)
def test_it_is_opened_otherwise(run: Run, opened: dict[str, Any], options: tuple[str, ...], line: list[str]) -> None:
    assert run("", "call", "debug", A.input_id, *options, "--version", "newest") == 7
    assert opened["line"][-2:] == line


def test_a_shell_has_it_too(run: Run, capsys: Told, opened: dict[str, Any]) -> None:
    assert run("", "call", "debug", A.input_id, "--shell") == 7
    assert opened["line"][0] == "/bin/sh"
    assert "$WHERRY_INPUT" in capsys.readouterr().err


def test_one_of_many_has_to_be_named(run: Run, capsys: Told, service: Replayable) -> None:
    service.inputs = [kept("A", call_id=MANY), kept("B", call_id=MANY)]
    assert run("", "call", "debug", MANY) != 0
    assert f"2 inputs of {MANY} have failed: name one of them, {B.input_id}, {A.input_id}" in capsys.readouterr().err
    assert run("", "call", "debug", A.input_id, "--pdb", "--shell") != 0
    assert "exclude each other" in capsys.readouterr().err


# The SDK


def test_a_call_runs_again(client: Client, service: Replayable) -> None:
    service.inputs = [kept("B", call_id=MANY, index=1), kept("A", call_id=MANY)]
    found = FunctionCall.from_id(MANY, client).retry(version="failed")
    assert [one.object_id for one in found] == [again(A), again(B)]
    assert service.asked("Replays.Run").version == ReplayVersion.FAILED
    service.problems[A.input_id] = "version 1 is gone"
    with pytest.raises(exception.InvalidError, match="1 of 2 failed inputs do not run again: version 1 is gone"):
        FunctionCall.from_id(MANY, client).retry()
    service.inputs = []
    with pytest.raises(exception.NotFoundError, match="is kept"):
        FunctionCall.from_id(MANY, client).retry()
    with pytest.raises(exception.InvalidError, match="'newest'"):
        FunctionCall.from_id(MANY, client).retry(version="3")


def test_a_calls_arguments_are_read(client: Client, service: Replayable) -> None:
    assert FunctionCall.from_id(A.call_id, client).arguments() == ((1,), {"b": 2})
    assert service.asked("Replays.Arguments").bare
    service.inputs = [kept("B", call_id=MANY, index=1), kept("A", call_id=MANY)]
    assert FunctionCall.from_id(MANY, client).arguments(index=1) == ((1,), {"b": 2})
    assert service.asked("Replays.Arguments").input_id == B.input_id
    with pytest.raises(exception.InvalidError, match="say which with index="):
        FunctionCall.from_id(MANY, client).arguments()
    with pytest.raises(exception.InvalidError, match="none has that index"):
        FunctionCall.from_id(MANY, client).arguments(index=5)


def test_what_failed_of_a_function_runs_again(running: Callable[..., Any], service: Replayable) -> None:
    def price() -> None: ...

    function: Function[..., Any] = running(price)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    found = function.retry_failed(since=at, until=timedelta(hours=1), error="row")
    assert [one.object_id for one in found] == [again(A), again(B)]
    asked: ReplayListRequest = service.asked("Replays.List")
    assert (asked.function, asked.since_ms, asked.search) == ("price", int(at.timestamp() * 1000), "row")
    assert asked.only_left
    assert asked.until_ms > asked.since_ms
    with pytest.raises(exception.InvalidError, match="since is 3"):
        function.retry_failed(since=3)  # type: ignore[arg-type]
