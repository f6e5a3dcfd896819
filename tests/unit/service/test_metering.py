"""Counters that parts keep, and the labels that metrics give functions: right, and bounded."""

import asyncio
import time
from pathlib import Path

import pytest

from wherry_proto.messages import CallKind, WebSpec
from wherry_service.apps.endpoints import Endpoint
from wherry_service.engines import gpu_use
from wherry_service.engines.gpu_use import GpuUse
from wherry_service.errors import NotFound
from wherry_service.metering import Counts, Histogram, Histograms
from wherry_service.metrics.inputs import counted, families
from wherry_service.metrics.labels import FORGET_AFTER_S, OTHER, Labels, Named
from wherry_service.metrics.settings import MetricsSettings
from wherry_service.metrics.watching import MAX_ANSWERS, Watching, how
from wherry_service.node.events import ContainerExit
from wherry_service.records.functions import FunctionRecords
from wherry_service.records.rows import Subject
from wherry_service.settings_key import SettingsError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Functions:
    """Knows functions by id."""

    def __init__(self, *names: str) -> None:
        self.known = {name: Labels("main", "app", name) for name in names}

    def labels(self, function_id: str) -> Labels:
        if function_id not in self.known:
            raise NotFound("it is not there")
        return self.known[function_id]


def endpoint(name: str = "page") -> Endpoint:
    return Endpoint("ap-1", "app", "main", "fu-1", name, "", "label", (), WebSpec())


def test_values_are_counted_up_to_the_bound_they_equal() -> None:
    seconds = Histogram((0.1, 1.0))
    for value in (0.0, 0.1, 0.11, 1.0, 7.0):
        seconds.add(value)
    assert (seconds.counts, seconds.count) == ([2, 2, 1], 5)
    assert seconds.total == pytest.approx(8.21)


def test_keys_beyond_the_most_are_counted_under_the_rest() -> None:
    counts: Counts[str] = Counts("rest", 2)
    seconds: Histograms[str] = Histograms("rest", 2)
    for key in ("a", "b", "c", "d", "a"):
        counts.add(key)
        seconds.of(key).add(1.0)
    assert dict(counts) == {"a": 2, "b": 1, "rest": 2}
    assert {key: one.count for key, one in seconds} == {"a": 2, "b": 1, "rest": 2}
    counts.forget(lambda key: key == "a")
    seconds.forget(lambda key: key == "a")
    assert "a" not in dict(counts)
    assert "a" not in dict(iter(seconds))


def test_counting_costs_little() -> None:
    seconds = Histogram()
    began = time.perf_counter()
    for _ in range(100_000):
        seconds.add(0.02)
    # Ten times what it takes on a slow machine that has nothing else to do.
    assert time.perf_counter() - began < 1.0


def test_only_so_many_functions_have_labels_of_their_own_and_keep_them() -> None:
    clock = Clock()
    named = Named(Functions("a", "b", "c"), 2, clock)
    assert [named.of(one).function for one in ("a", "b", "c", "a")] == ["a", "b", "other", "a"]
    forgotten: list[Labels] = []
    named.on_forgotten.append(forgotten.append)
    clock.now = FORGET_AFTER_S / 2
    assert named.of("b").function == "b"
    clock.now = FORGET_AFTER_S + 1
    # The one that did nothing for long gives its place away.
    assert named.of("c").function == "c"
    assert forgotten == [Labels("main", "app", "a")]
    assert named.of("a") == OTHER


def test_a_function_that_has_gone_keeps_its_labels_for_what_is_told_of_it() -> None:
    functions = Functions("a")
    named = Named(functions, 10)
    assert named.of("never") == OTHER
    labels = named.of("a")
    functions.known.clear()
    assert named.of("a") == labels


def test_what_an_app_answers_makes_no_more_than_so_many_series() -> None:
    watching = Watching(Named(Functions(), 10))
    for status in range(100, 600):
        watching.on_answered(endpoint(), "GET", status, 0.01)
    watching.on_answered(endpoint(), "BREW", 0, 0.01)
    counted = dict(watching.answered)
    # Those beyond are told by their class.
    assert len(counted) <= MAX_ANSWERS + 6
    assert sum(counted.values()) == 501
    assert all(method in ("GET", "other") for _, method, _ in counted)


def test_how_a_request_ended_is_counted() -> None:
    watching = Watching(Named(Functions(), 10))
    watching.on_answered(endpoint(), "POST", 201, 0.3)
    watching.on_answered(endpoint(), "GET", 0, 0.3)
    watching.on_answered(endpoint(), "WS", 101, 3000.0)
    page = Labels("main", "app", "page")
    assert dict(watching.answered) == {(page, "POST", "201"): 1, (page, "GET", "gone"): 1, (page, "WS", "101"): 1}
    # A websocket is no request that took long.
    assert {key: one.count for key, one in watching.answer_seconds} == {page: 2}


@pytest.mark.parametrize(
    ("exit", "word"),
    [
        (ContainerExit(exit_code=0), "idle"),
        (ContainerExit(exit_code=137, oom_killed=True), "oom"),
        (ContainerExit(exit_code=139), "signal"),
        (ContainerExit(exit_code=1), "error"),
        (ContainerExit(), "error"),
        (ContainerExit(exit_code=0, reason="was ended with its app"), "stopped"),
        (ContainerExit(reason="could not be made", not_started=True), "not_started"),
    ],
)
def test_how_a_container_ended_is_one_word(exit: ContainerExit, word: str) -> None:
    assert how(exit) == word


def test_a_late_event_loop_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wherry_service.metrics.watching.LOOK_EVERY_S", 0.01)
    watching = Watching(Named(Functions(), 10))

    async def main() -> None:
        looking = asyncio.ensure_future(watching.look())
        await asyncio.sleep(0)
        time.sleep(0.15)
        while not watching.lag.count:
            await asyncio.sleep(0.005)
        looking.cancel()

    asyncio.run(main())
    assert watching.lag.total > 0.1


def test_what_records_count_is_told_by_function() -> None:
    named = Named(Functions(), 2)
    found = []
    for function_id, name in (("fu-1", "work"), ("fu-2", "work"), ("fu-3", "rest"), ("fu-4", "beyond")):
        one = FunctionRecords(Subject("main", "ap-1", "shop", function_id, name), 10)
        one.last_ms = int(time.time() * 1000)
        one.tally.succeeded(4, 30, 2_000, 700)
        one.tally.called(CallKind.MAP)
        found.append(one)
    told = {
        (
            sample.name,
            sample.labels["function"],
            *[sample.labels[one] for one in ("outcome", "kind", "le") if one in sample.labels],
        ): sample.value
        for family in families(counted(found, named))
        for sample in family.samples
    }
    # Two runs of an app are one.
    assert told["wherry_inputs_total", "work", "success"] == 8
    assert told["wherry_inputs_total", "work", "exception"] == 0
    assert told["wherry_inputs_total", "other", "success"] == 4
    assert told["wherry_calls_total", "work", "map"] == 2
    assert told["wherry_input_run_seconds_bucket", "rest", "1.0"] == 4
    assert told["wherry_input_run_seconds_bucket", "rest", "0.5"] == 0
    assert told["wherry_input_run_seconds_sum", "rest"] == pytest.approx(2.8)
    assert told["wherry_input_queue_seconds_bucket", "rest", "0.05"] == 2
    assert told["wherry_input_queue_seconds_bucket", "rest", "+Inf"] == 4


def test_a_look_at_old_records_keeps_no_place() -> None:
    named = Named(Functions(), 10)
    old = FunctionRecords(Subject("main", "ap-1", "shop", "fu-1", "old"), 10)
    told = list(families(counted([old], named)))
    assert {sample.labels["function"] for family in told for sample in family.samples} <= {"other"}


def test_what_is_used_of_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "0, GPU-aa, 87, 1024\n1, GPU-bb, 0, 3\n2, GPU-cc, [N/A], 7\nnonsense\n"
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = gpu_use.look()
    assert found["0"] == found["GPU-aa"] == GpuUse(0.87, 1 << 30)
    assert found.keys() == {"0", "1", "GPU-aa", "GPU-bb"}
    program.write_text("#!/bin/sh\nexit 9\n")
    assert gpu_use.look() == {}


@pytest.mark.parametrize(
    ("text", "address", "is_local"),
    [
        ("", None, True),
        ("off", None, True),
        ("on", ("127.0.0.1", 9464), True),
        ("localhost:1", ("localhost", 1), True),
        ("[::1]:9464", ("::1", 9464), True),
        ("0.0.0.0:9464", ("0.0.0.0", 9464), False),
        ("10.0.0.5:80", ("10.0.0.5", 80), False),
    ],
)
def test_where_metrics_answer(text: str, address: tuple[str, int] | None, is_local: bool) -> None:
    found = MetricsSettings.from_environment({"WHERRY_METRICS_LISTEN": text})
    assert (found.address, found.is_local) == (address, is_local)
    assert found.max_functions == 100


@pytest.mark.parametrize(
    ("name", "text"),
    [("LISTEN", "9464"), ("LISTEN", "host:port"), ("LISTEN", "a:99999"), ("MAX_SERIES", "5"), ("MAX_SERIES", "many")],
)
def test_nonsense_is_told_with_its_name(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^WHERRY_METRICS_{name} is '{text}'"):
        MetricsSettings.from_environment({f"WHERRY_METRICS_{name}": text})
