"""@concurrent, @batched, gpu= and what `@app.function` makes of them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import wherry
from tests.fakes.service import FakeService
from wherry import App, gpu
from wherry._define.marks import batched_mark, concurrent_mark
from wherry._define.options import FunctionOptions
from wherry.exception import InvalidError, ResourceExhaustedError
from wherry_proto.messages import Failure, FailureKind, FunctionSpec, GpuRequest, Input, Output, SessionDown

Decorator = Callable[[], Any]


def f(x: int) -> int:
    return x


def fresh() -> Any:
    def function(x: Any) -> Any:
        return x

    return function


def spec_of(service: FakeService) -> FunctionSpec:
    return next(iter(service.specs.values()))


# Marks


def test_marks_are_plain_and_read_by_accessors() -> None:
    function = wherry.concurrent(max_inputs=8, target_inputs=5)(fresh())
    function = wherry.batched(max_batch_size=3, wait_ms=40)(function)
    assert concurrent_mark(function) == (8, 5)
    assert batched_mark(function) == (3, 40)
    assert (concurrent_mark(f), batched_mark(f)) == (None, None)
    assert function(1) == 1


def test_a_class_is_marked_and_its_subclasses_with_it() -> None:
    @wherry.concurrent(max_inputs=4)
    class Base: ...

    class Derived(Base): ...

    assert concurrent_mark(Derived) == (4, 0)
    assert FunctionOptions().marked_by(Derived).max_inputs == 4


def test_b45_marks_and_gpus_reach_the_service(service: FakeService, running: Callable[..., Any]) -> None:
    function = wherry.concurrent(max_inputs=8, target_inputs=5)(wherry.batched(max_batch_size=3, wait_ms=40)(fresh()))
    running(function, gpu=["A100:2", "any"], ephemeral_disk=2048)
    spec = spec_of(service)
    assert spec.pool is not None
    assert spec.resources is not None
    assert (spec.pool.max_concurrent_inputs, spec.pool.target_concurrent_inputs) == (8, 5)
    assert (spec.pool.max_batch_size, spec.pool.batch_wait_ms) == (3, 40)
    assert spec.gpus == [GpuRequest(type="A100", count=2), GpuRequest(type="any", count=1)]
    assert spec.resources.ephemeral_disk_mib == 2048


def test_b45_single_use_reaches_the_service(service: FakeService, running: Callable[..., Any]) -> None:
    running(fresh(), single_use_containers=True)
    spec = spec_of(service)
    assert spec.pool is not None
    assert spec.pool.single_use_containers
    assert spec.pool.max_concurrent_inputs == 1


def test_a_decorator_used_twice_keeps_its_functions_apart() -> None:
    decorate = App("x").function(serialized=True, name="one")
    marked = decorate(wherry.concurrent(max_inputs=8)(fresh()))
    plain = App("y").function(serialized=True)(fresh())
    assert marked.written.options.max_inputs == 8
    assert plain.written.options.max_inputs == 0


# Misuse


def above(decorate: Callable[[Any], Any]) -> Decorator:
    return lambda: decorate(App("x").function()(f))


@pytest.mark.parametrize(
    ("misuse", "said"),
    [
        (lambda: wherry.concurrent(f), ["write @wherry.concurrent(max_inputs=10) instead of @wherry.concurrent"]),
        (lambda: wherry.batched(f), ["write @wherry.batched(max_batch_size=16, wait_ms=100) instead of"]),
        (wherry.concurrent, ["needs max_inputs"]),
        (lambda: wherry.batched(max_batch_size=3), ["needs wait_ms"]),
        (lambda: wherry.batched(wait_ms=3), ["needs max_batch_size"]),
        (lambda: wherry.concurrent(max_inputs=0), ["max_inputs is 0", "from 1 to 1000"]),
        (lambda: wherry.concurrent(max_inputs=1001), ["max_inputs is 1001", "from 1 to 1000"]),
        (lambda: wherry.concurrent(max_inputs=2, target_inputs=3), ["target_inputs is 3", "max_inputs (2)"]),
        (lambda: wherry.concurrent(max_inputs=2, target_inputs=0), ["target_inputs is 0", "from 1 to 1000"]),
        (lambda: wherry.batched(max_batch_size=0, wait_ms=1), ["max_batch_size is 0", "from 1 to 1000"]),
        (lambda: wherry.batched(max_batch_size=1001, wait_ms=1), ["max_batch_size is 1001", "1000"]),
        (lambda: wherry.batched(max_batch_size=1, wait_ms=-1), ["wait_ms is -1", "from 0 to 600000 ms"]),
        (lambda: wherry.batched(max_batch_size=1, wait_ms=600_001), ["wait_ms is 600001", "from 0 to 600000 ms"]),
        (lambda: wherry.batched(max_batch_size=1, wait_ms=1.5), ["wait_ms is 1.5", "whole number"]),
        (
            above(wherry.concurrent(max_inputs=7)),
            [
                "@wherry.concurrent() stands above @app.function()",
                "    @app.function()\n    @wherry.concurrent(max_inputs=7)\n    def",
            ],
        ),
        (
            above(wherry.batched(max_batch_size=2, wait_ms=3)),
            ["    @app.function()\n    @wherry.batched(max_batch_size=2, wait_ms=3)\n    def"],
        ),
        (lambda: wherry.batched(max_batch_size=2, wait_ms=3)(type("C", (), {})), ["class C", "method"]),
        (lambda: wherry.concurrent(max_inputs=2)(3), ["got 3", "function or class"]),
        (
            lambda: wherry.concurrent(max_inputs=2)(wherry.concurrent(max_inputs=3)(fresh())),
            ["has @wherry.concurrent() twice"],
        ),
        (
            lambda: App("x").function(serialized=True, allow_concurrent_inputs=2)(
                wherry.concurrent(max_inputs=3)(fresh())
            ),
            ["both allow_concurrent_inputs=2 and @wherry.concurrent(max_inputs=3)"],
        ),
        (
            lambda: App("x").function(allow_concurrent_inputs=2, single_use_containers=True),
            ["single_use_containers=True", "allow_concurrent_inputs is 2"],
        ),
        (
            lambda: App("x").function(serialized=True, single_use_containers=True)(
                wherry.batched(max_batch_size=2, wait_ms=1)(fresh())
            ),
            ["single_use_containers=True", "@wherry.batched max_batch_size is 2"],
        ),
    ],
)
def test_misuse_is_told_with_what_to_write(misuse: Decorator, said: list[str]) -> None:
    with pytest.raises(InvalidError) as caught:
        misuse()
    for part in said:
        assert part in str(caught.value)


def test_generators_are_not_batched() -> None:
    @wherry.batched(max_batch_size=2, wait_ms=1)
    def generate(xs: list[int]) -> Iterator[int]:  # type: ignore[misc]
        yield from xs

    with pytest.raises(InvalidError, match=r"generate is a generator function: @wherry\.batched\(\)"):
        App("x").function(serialized=True)(generate)


# GPUs


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("any", ["any:1"]),
        ("Any:2", ["any:2"]),
        ("t4", ["T4:1"]),
        ("A100:2", ["A100:2"]),
        ("a100-80gb", ["A100-80GB:1"]),
        ("RTX 4090", ["RTX 4090:1"]),
        ("H100!", ["H100:1"]),
        ("H100!:8", ["H100:8"]),
        ("B200+", ["B200:1", "B300:1"]),
        ("b200+:2", ["B200:2", "B300:2"]),
        ("A100-80GB:2", ["A100-80GB:2"]),
        (["B200+", "H100!"], ["B200:1", "B300:1", "H100:1"]),
        (["H100", "A100:2", gpu.Any()], ["H100:1", "A100:2", "any:1"]),
        (gpu.T4(), ["T4:1"]),
        (gpu.A100(count=2), ["A100:2"]),
        (gpu.A100(size="80GB"), ["A100-80GB:1"]),
        (gpu.A100(memory=40, count=3), ["A100-40GB:3"]),
        (gpu.H100(count=8), ["H100:8"]),
    ],
)
def test_gpus_in_all_their_spellings(value: Any, meant: list[str]) -> None:
    assert [repr(item) for item in gpu.parse(value)] == meant


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", ["''"]),
        ("A100:", ["'A100:'", "from 1 to 64"]),
        ("A100:0", ["'A100:0'", "from 1 to 64"]),
        ("A100:65", ["'A100:65'", "from 1 to 64"]),
        ("A100:two", ["'A100:two'", "whole number"]),
        ("A/100", ["'A/100'"]),
        ("H100+", ["'H100+'", '"B200+" alone', "in a list"]),
        ("!", ["'!'"]),
        ("H1!00", ["'H1!00'"]),
        (True, ["True", '"any"']),
        (3, ["gpu is 3"]),
        ([], ["[]"]),
        (["T4", None], ["None"]),
        (gpu.T4, ["gpu=wherry.gpu.T4()"]),
    ],
)
def test_gpus_that_make_no_sense(value: Any, said: list[str]) -> None:
    with pytest.raises(InvalidError) as caught:
        App("x").function(gpu=value)
    for part in said:
        assert part in str(caught.value)


@pytest.mark.parametrize("make", [lambda: gpu.T4(count=0), lambda: gpu.A100(size="20GB"), lambda: gpu.A100(memory=30)])
def test_gpu_objects_check_their_values(make: Decorator) -> None:
    with pytest.raises(InvalidError, match="gpu"):
        make()


# RESOURCE_EXHAUSTED


class Crowded(FakeService):
    """Refuses each input the first few times it is offered."""

    refusals = 0

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, int] = {}

    def _run_all(self, items: list[Input]) -> None:
        taken = []
        for item in items:
            count = self.refused.get(item.input_id, 0)
            if count < self.refusals:
                self.refused[item.input_id] = count + 1
                failure = Failure(kind=FailureKind.EXHAUSTED, message="3 inputs wait for function 'f' already")
                refusal = Output(input_id=item.input_id, call_id=item.call_id, index=item.index, failure=failure)
                self.send(SessionDown(outputs=[refusal]))
            else:
                taken.append(item)
        super()._run_all(taken)


@pytest.fixture
def service() -> FakeService:
    return Crowded()


@pytest.mark.parametrize("count", [5, 3000])
def test_b35_a_map_that_is_refused_slows_down_and_completes(
    service: Crowded, running: Callable[..., Any], count: int
) -> None:
    function = running(fresh())
    service.refusals = 2
    assert list(function.map(range(count))) == list(range(count))
    assert set(service.refused.values()) == {2}
    assert len(service.executed) == count


def test_b35_a_spawned_map_that_is_refused_completes(service: Crowded, running: Callable[..., Any]) -> None:
    function = running(fresh())
    service.refusals = 2
    call = function.spawn_map(range(5))
    assert set(service.refused.values()) == {2}
    assert len(service.executed) == 5
    assert call.object_id.startswith("fc-")


@pytest.mark.parametrize("how", ["remote", "spawn"])
def test_b35_a_call_of_one_input_raises(service: Crowded, running: Callable[..., Any], how: str) -> None:
    function = running(fresh())
    service.refusals = 1
    with pytest.raises(ResourceExhaustedError, match="3 inputs wait for function 'f'"):
        getattr(function, how)(1)


def test_b35_a_map_that_is_left_stops_offering(service: Crowded, running: Callable[..., Any]) -> None:
    function = running(fresh())
    results = function.map(range(3))
    service.refusals = 0
    assert next(results) == 0
    service.refusals = 10**6
    results = function.map(range(3))
    iterator = iter(results)
    with pytest.raises(ResourceExhaustedError):
        function.remote(1)
    iterator.close()
    assert list(iterator) == []


# Classes


def test_marks_on_a_class_and_its_batched_method() -> None:
    @wherry.concurrent(max_inputs=3, target_inputs=2)
    class Model:
        @wherry.batched(max_batch_size=8, wait_ms=20)
        def embed(self, texts: list[str]) -> list[int]:
            return [len(text) for text in texts]

    made: Any = App("x").cls(serialized=True)(Model)
    definition, spec = made.__wherry_kind__.service.written, FunctionSpec()
    definition.options.fill(spec)
    assert spec.pool is not None
    assert (spec.pool.max_concurrent_inputs, spec.pool.target_concurrent_inputs) == (3, 2)
    assert (spec.pool.max_batch_size, spec.pool.batch_wait_ms) == (8, 20)
    assert [method.name for method in definition.method_specs()] == ["embed"]


def test_batched_and_method_may_both_be_there() -> None:
    class Model:
        @wherry.method()
        @wherry.batched(max_batch_size=8, wait_ms=20)
        def embed(self, texts: list[str]) -> list[int]:
            return [len(text) for text in texts]

    made: Any = App("x").cls(serialized=True)(Model)
    assert made.__wherry_kind__.service.written.options.max_batch_size == 8
    assert made().embed.local(["a", "bc"]) == [1, 2]


def concurrent_on_a_method() -> Any:
    class Model:
        @wherry.method()
        @wherry.concurrent(max_inputs=2)
        def work(self) -> None: ...

    return App("x").cls(serialized=True)(Model)


def batched_beside_others() -> Any:
    class Model:
        @wherry.batched(max_batch_size=8, wait_ms=20)
        def embed(self, texts: list[str]) -> list[str]:
            return texts

        @wherry.method()
        def work(self) -> None: ...

    return App("x").cls(serialized=True)(Model)


def batched_above_method() -> Any:
    class Model:
        @wherry.batched(max_batch_size=8, wait_ms=20)  # type: ignore[call-overload]
        @wherry.method()
        def embed(self, texts: list[str]) -> list[str]:
            return texts

    return Model


def concurrent_above_cls() -> Any:
    class Model:
        @wherry.method()
        def work(self) -> None: ...

    return wherry.concurrent(max_inputs=2)(App("x").cls(serialized=True)(Model))


@pytest.mark.parametrize(
    ("misuse", "said"),
    [
        (concurrent_on_a_method, "@wherry.concurrent() is on method Model.work: put it below @app.cls()"),
        (batched_beside_others, "class Model has @wherry.batched() on embed, and method work beside it"),
        (
            batched_above_method,
            "    @wherry.method()\n    @wherry.batched(max_batch_size=8, wait_ms=20)\n    def",
        ),
        (concurrent_above_cls, "    @app.cls()\n    @wherry.concurrent(max_inputs=2)\n    class"),
    ],
)
def test_misuse_in_classes_is_told_with_what_to_write(misuse: Decorator, said: str) -> None:
    with pytest.raises(InvalidError) as caught:
        misuse()
    assert said in str(caught.value)
