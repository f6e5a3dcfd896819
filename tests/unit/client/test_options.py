"""What `@app.function` accepts, and what it says to the rest."""

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.service import FakeService
from wherry import App, CloudBucketMount, Function, Image, Retries, Stub, Volume
from wherry._define.options import FunctionOptions
from wherry._publish.image_files import resolve
from wherry.exception import DeprecationError, InvalidError
from wherry_proto.messages import FunctionSpec


def f(x: int) -> int:
    return x


def gen(x: int) -> Iterator[int]:
    yield x


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": 0}, ["timeout", "0", "from 1 to 86400 s"]),
        ({"timeout": "5"}, ["timeout", "'5'"]),
        ({"timeout": True}, ["timeout", "True"]),
        ({"startup_timeout": -1}, ["startup_timeout", "-1"]),
        ({"cpu": 0}, ["cpu", "0", "cores"]),
        ({"cpu": (2, 1)}, ["cpu", "(2, 1)", "above the limit"]),
        ({"cpu": (1, 2, 3)}, ["cpu", "(request, limit)"]),
        ({"memory": 1}, ["memory", "1", "MiB"]),
        ({"memory": 1.5}, ["memory", "whole number"]),
        ({"max_containers": 0}, ["max_containers", "0"]),
        ({"min_containers": -1}, ["min_containers", "-1"]),
        ({"min_containers": 3, "max_containers": 2}, ["min_containers", "3", "max_containers", "2"]),
        ({"scaledown_window": 0}, ["scaledown_window", "0"]),
        ({"allow_concurrent_inputs": 1001}, ["allow_concurrent_inputs", "1001", "1000"]),
        ({"retries": -1}, ["retries", "-1", "10"]),
        ({"retries": 11}, ["retries", "11"]),
        ({"retries": "3"}, ["retries", "'3'"]),
        ({"image": "python:3"}, ["image", "python:3", "Image"]),
        ({"env": {"A": 1}}, ["env", "A", "strings"]),
        ({"volumes": ["something"]}, ["volumes", "something", "dict of places"]),
        ({"volumes": {"/data": "mine"}}, ["volumes", "mine", "/data", "from_name"]),
        ({"volumes": {"data": Volume.from_name("v")}}, ["volumes", "'data'", "absolute"]),
        ({"volumes": {"/etc": Volume.from_name("v")}}, ["volumes", "/etc", "choose another"]),
        ({"volumes": {"/a": Volume.from_name("v"), "/b": Volume.from_name("v")}}, ["volumes", "/a", "/b", "twice"]),
        ({"volumes": {"/a": CloudBucketMount("abc"), "/a/": Volume.from_name("v")}}, ["two volumes", "/a"]),
        ({"volumes": {"/usr": CloudBucketMount("abc")}}, ["/usr", "choose another"]),
        ({"network_file_systems": {"/a": CloudBucketMount("abc")}}, ["CloudBucketMount('abc')", "/a", "volumes="]),
        ({"network_file_systems": {"/data": 5}}, ["network_file_systems", "5", "/data"]),
        ({"mounts": ["something"]}, ["mounts", "something", "Mount"]),
    ],
)
def test_values_out_of_range_name_parameter_value_and_range(options: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(InvalidError) as caught:
        App("x").function(**options)(f)
    for part in said:
        assert part in str(caught.value)


def test_what_is_asked_for_in_another_way_here_is_ignored_by_name() -> None:
    with pytest.warns(UserWarning, match="interactive is ignored: `wherry run -i` gives"):
        App("x").function(interactive=["something"])
    App("x").function(interactive=None)


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("concurrency_limit", "max_containers", 3),
        ("keep_warm", "min_containers", 2),
        ("container_idle_timeout", "scaledown_window", 20),
    ],
)
def test_old_names_work_with_a_warning(old: str, new: str, value: int) -> None:
    with pytest.warns(DeprecationError, match=new) as caught:
        function = App("x").function(**{old: value})(f)
    assert caught[0].filename == __file__
    assert getattr(function.written.options, new) == value
    with pytest.raises(InvalidError, match="old and the new name"):
        App("x").function(**{old: value, new: value})


IGNORED = {
    "cloud": "aws", "region": "eu", "routing_region": "us", "proxy": object(), "enable_memory_snapshot": True,
    "experimental_options": {"flash": "us-east"},
}  # fmt: skip


@pytest.mark.parametrize("name", IGNORED)
def test_what_means_nothing_here_is_accepted_with_a_warning(name: str) -> None:
    with pytest.warns(UserWarning, match=f"{name} means nothing on your own machines, and is ignored: ") as caught:
        App("x").function(**{name: IGNORED[name]})
    assert [one.filename for one in caught] == [__file__]
    with pytest.warns(UserWarning, match=f"{name} means nothing") as caught:
        App("x").cls(**{name: IGNORED[name]})
    assert [one.filename for one in caught] == [__file__]


@pytest.mark.parametrize("name", ["i6pn", "restrict_modal_access"])
def test_what_there_can_not_be_here_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(InvalidError, match=f"{name} is not in Wherry: .*; (let|give) "):
        App("x").function(**{name: True})


@pytest.mark.parametrize("name", [*IGNORED, "i6pn", "restrict_modal_access", "nonpreemptible", "max_inputs"])
def test_what_means_nothing_here_may_be_left_at_its_default(name: str) -> None:
    App("x").function(**{name: None})
    App("x").cls(**{name: None})


def test_containers_are_never_preempted_so_that_is_accepted_silently() -> None:
    App("x").function(nonpreemptible=True)


def test_max_inputs_of_one_is_the_older_name_of_single_use() -> None:
    assert App("x").function(max_inputs=1)(f).written.options.single_use_containers
    with pytest.raises(InvalidError, match="max_inputs is 5: a container takes one input"):
        App("x").function(max_inputs=5)


def test_an_app_may_leave_out_the_source_of_all_its_functions() -> None:
    app = App("x", include_source=False)
    assert not app.function()(f).written.options.include_source
    assert app.function(include_source=True)(gen).written.options.include_source
    assert App("x").function()(f).written.options.include_source


def test_b45_settings_are_passed_verbatim(service: FakeService, running: Callable[..., Any]) -> None:
    running(
        f,
        cpu=(1.5, 2),
        memory=(128, 256),
        timeout=7,
        startup_timeout=8,
        max_containers=5,
        min_containers=1,
        buffer_containers=2,
        scaledown_window=9,
        allow_concurrent_inputs=6,
        retries=Retries(max_retries=2, backoff_coefficient=3, initial_delay=0.5, max_delay=4),
        env={"A": "b"},
        block_network=True,
    )
    spec: FunctionSpec = next(iter(service.specs.values()))
    assert spec.resources is not None
    assert spec.pool is not None
    assert spec.retry is not None
    resources, pool, retry = spec.resources, spec.pool, spec.retry
    assert (resources.cpu_request, resources.cpu_limit) == (1.5, 2)
    assert (resources.memory_request_mib, resources.memory_limit_mib) == (128, 256)
    assert (spec.timeout_s, spec.startup_timeout_s, spec.env, spec.block_network) == (7, 8, {"A": "b"}, True)
    assert (pool.min_containers, pool.max_containers, pool.buffer_containers) == (1, 5, 2)
    assert (pool.scaledown_window_s, pool.max_concurrent_inputs) == (9, 6)
    assert (retry.max_retries, retry.backoff_coefficient, retry.initial_delay_s, retry.max_delay_s) == (2, 3, 0.5, 4)


@pytest.mark.parametrize("made", [tuple, list])
def test_request_and_limit_may_be_a_tuple_or_a_list(made: Callable[..., Any]) -> None:
    options = App("x").function(cpu=made([0.5, 2]), memory=made([128, 256]))(f).written.options
    assert (options.cpu, options.memory) == ((0.5, 2), (128, 256))
    with pytest.raises(InvalidError, match=r"\(request, limit\)"):
        App("x").function(cpu=made([1, 2, 3]))


def test_b34_retries_refused_on_generators() -> None:
    with pytest.raises(InvalidError, match="generator"):
        App("x").function(retries=1)(gen)


@pytest.mark.parametrize("retries", [-1, 11, 2.0, True])
def test_b34_retries_out_of_range_are_refused(retries: Any) -> None:
    with pytest.raises(InvalidError, match=r"retries is .* 0 to 10"):
        App("x").function(retries=retries)


def test_retries_as_a_number_are_one_second_apart() -> None:
    policy = Retries.of(3)
    assert policy is not None
    assert (policy.max_retries, policy.initial_delay, policy.backoff_coefficient) == (3, 1.0, 1.0)


def test_missing_parentheses_show_the_right_line() -> None:
    with pytest.raises(InvalidError, match=r"@app\.function\(\)"):
        App("x").function(int)
    with pytest.raises(InvalidError, match=r"@app\.local_entrypoint\(\)"):
        App("x").local_entrypoint(int)


def test_what_a_container_can_not_import_needs_serialized() -> None:
    def inner() -> None: ...

    for function in (inner, lambda: None):
        with pytest.raises(InvalidError, match="serialized=True"):
            App("x").function()(function)
        assert isinstance(App("x").function(serialized=True)(function), Function)


def test_only_plain_functions_are_decorated() -> None:
    app = App("x")
    with pytest.raises(InvalidError, match="plain function"):
        app.function()(print)
    made = app.function()(f)
    with pytest.raises(InvalidError, match="decorate it once"):
        app.function()(made)


def test_two_functions_of_one_name_are_refused() -> None:
    app = App("x")
    app.function(name="same")(f)
    with pytest.raises(InvalidError, match="same"):
        app.function(name="same")(gen)


@pytest.mark.parametrize("name", ["", "  ", "ap-mine", 5])
def test_app_names(name: Any) -> None:
    with pytest.raises(InvalidError, match="name"):
        App(name)


def test_stub_is_app() -> None:
    assert Stub is App
    with pytest.raises(InvalidError, match=r"volumes is .* must be a dict of places"):
        App("x", volumes=[1])
    with pytest.raises(InvalidError, match="no parameter 'nonsense'"):
        App("x", nonsense=1)


def test_b44_serialized_size_is_bounded(running: Callable[..., Any]) -> None:
    small, large = b"x" * (300 << 10), b"x" * (17 << 20)

    def warned() -> int:
        return len(small)

    def refused() -> int:
        return len(large)

    with pytest.warns(UserWarning, match="300 KiB"):
        running(warned)
    with pytest.raises(InvalidError, match="at most 16 MiB"):
        running(refused)


class TestImage:
    def test_steps_in_order_and_immutable(self) -> None:
        base = Image.debian_slim("3.11")
        image = base.apt_install("git", ["curl"]).pip_install("a", pre=True).env({"K": "v"}).workdir("/w")
        steps = resolve(image.run_commands("true"), None).definition.steps
        assert [step.kind for step in steps] == [
            "debian_slim", "apt_install", "pip_install", "env", "workdir", "run_commands",
        ]  # fmt: skip
        assert steps[0].options == {"python_version": "3.11"}
        assert steps[1].args == ["git", "curl"]
        assert steps[2].options == {"pre": "true"}
        assert steps[3].options == {"K": "v"}
        assert len(resolve(base, None).definition.steps) == 1

    def test_equal_chains_are_equal(self) -> None:
        assert Image.debian_slim().pip_install("a") == Image.debian_slim().pip_install("a")
        assert len({Image.debian_slim(), Image.debian_slim(), Image.from_registry("x")}) == 2

    @pytest.mark.parametrize(
        "make",
        [
            lambda: Image.debian_slim("three"),
            lambda: Image.debian_slim(3.11),  # type: ignore[arg-type]
            lambda: Image.from_registry(""),
            lambda: Image.debian_slim().pip_install(),
            lambda: Image.debian_slim().apt_install([1]),  # type: ignore[list-item]
            lambda: Image.debian_slim().env({"A": 1}),  # type: ignore[dict-item]
            Image,
        ],
    )
    def test_nonsense_is_refused(self, make: Callable[[], Image]) -> None:
        with pytest.raises(InvalidError):
            make()


@pytest.mark.parametrize("bad", [{"max_retries": 11}, {"max_retries": 1, "max_delay": 0.5}, {"max_retries": 1.5}])
def test_retries_ranges(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        Retries(**bad)


def test_no_warnings_for_plain_use() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        App("x").function(cpu=1, memory=64, timeout=5)(f)


def test_no_parameter_of_a_function_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = set(inspect.signature(App.function).parameters)
    taken: dict[str, Any] = {}
    monkeypatch.setattr("wherry.app.translate", lambda given, stacklevel: taken.update(given) or {})
    App().function()
    assert set(taken) == parameters - {"self", "_warn_parentheses_missing", "name", "is_generator", "private"}


def test_on_failure_names_a_function() -> None:
    app = App("app")

    @app.function(serialized=True)
    def told(failure: dict[str, object]) -> None: ...

    def named(value: object) -> tuple[str, str]:
        spec = FunctionSpec()
        FunctionOptions(on_failure=value).fill(spec)
        assert spec.on_failure is not None
        return spec.on_failure.app_name, spec.on_failure.function_name

    assert named(told) == named("told") == ("", "told")
    assert named(Function.from_name("other", "told")) == ("other", "told")
    spec = FunctionSpec()
    FunctionOptions().fill(spec)
    assert spec.on_failure is None


@pytest.mark.parametrize("value", ["", 3, Function, lambda failure: None])
def test_on_failure_is_nothing_else(value: object) -> None:
    with pytest.raises(InvalidError, match=r"on_failure is .*Function\.from_name"):
        FunctionOptions(on_failure=value)
