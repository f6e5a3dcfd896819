"""Classes on the client: what `@app.cls` accepts, what its objects do here and send elsewhere."""

import asyncio
import pickle
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import wherry
from tests.fakes.service import FakeService
from wherry import App, Cls, Function
from wherry._calling.variants import pickled
from wherry._connection.client import Client
from wherry.exception import ExecutionError, InvalidError, NotFoundError
from wherry_proto.messages import FunctionBindRequest, FunctionUpdateRequest, ObjectInfo


class Plain:
    """What containers make of `Greeter`, in the fake."""

    def __init__(self, greeting: str = "hello", times: int = 1) -> None:
        self.greeting = greeting
        self.times = times

    def __getitem__(self, method: str) -> Callable[..., Any]:
        return getattr(self, method)  # type: ignore[no-any-return]

    def greet(self, name: str) -> str:
        return f"{self.greeting * self.times} {name}"

    def letters(self, word: str) -> Iterator[str]:
        yield from word


app = App("classes")


@app.cls()
class Greeter:
    greeting: str = wherry.parameter(default="hello")
    times: int = wherry.parameter(default=1)

    @wherry.enter()
    def begin(self) -> None:
        self.entered = getattr(self, "entered", 0) + 1

    @wherry.method()
    def greet(self, name: str) -> str:
        return f"{self.greeting * self.times} {name}"

    @wherry.method()
    def twice(self, name: str) -> str:
        return self.greet.local(name) + self.greet(name)  # type: ignore[no-any-return, operator]

    @wherry.method()
    def letters(self, word: str) -> Iterator[str]:
        yield from word

    def plain(self) -> int:
        return self.entered


@pytest.fixture
def run(service: FakeService, client: Client) -> Iterator[Callable[[App], None]]:
    service.functions = {"Greeter": Plain}
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(app.run(client=client))  # type: ignore[func-returns-value]


Run = Callable[[App], None]


def binds(service: FakeService) -> list[FunctionBindRequest]:
    return [request for _, request in service.requests if isinstance(request, FunctionBindRequest)]


def make(**options: Any) -> Any:
    """A decorator for classes in tests: they are sent themselves."""
    return App("x").cls(serialized=True, **options)


# Calling


def test_b46_equal_arguments_are_one_function_and_none_is_the_base(run: Run, service: FakeService) -> None:
    run(app)
    base = Greeter().greet
    assert base.remote("you") == "hello you"
    assert Greeter(greeting="hello", times=1).greet.object_id == base.object_id, "defaults are no arguments"
    assert binds(service) == []

    polite = Greeter(greeting="hi", times=2)
    assert polite.greet.remote("you") == "hihi you"
    assert list(polite.greet.map(["a", "b"])) == ["hihi a", "hihi b"]
    assert list(polite.letters.remote_gen("ab")) == ["a", "b"]
    assert Greeter(times=2, greeting="".join(["h", "i"])).greet.object_id == polite.greet.object_id
    assert polite.greet.object_id != base.object_id
    assert len(binds(service)) == 1, "asked once for a set of arguments"
    assert asyncio.run(polite.greet.remote.aio("me")) == "hihi me"


def test_a_class_is_one_function_with_its_methods(run: Run, service: FakeService) -> None:
    run(app)
    (spec,) = service.specs.values()
    assert (spec.name, spec.qualname, spec.is_generator) == ("Greeter", "Greeter", False)
    assert [(item.name, item.is_generator, item.is_async) for item in spec.methods] == [
        ("greet", False, False),
        ("twice", False, False),
        ("letters", True, False),
    ]
    assert list(app.registered_classes) == ["Greeter"]
    assert app.registered_functions == {}


def test_handles_follow_an_app_that_runs_again(service: FakeService, client: Client) -> None:
    service.functions = {"Greeter": Plain}
    method, variant = Greeter(greeting="hi").greet, Greeter.with_options(timeout=5)().greet
    for _ in range(2):
        with pytest.raises(ExecutionError, match="Greeter can't be called yet, since classes is not running"):
            method.remote("you")
        with app.run(client=client):
            assert method.remote("you") == "hi you"
            assert variant.remote("you") == "hello you"
    assert len(binds(service)) == 4


def test_options_of_a_method_keep_its_object(run: Run, service: FakeService) -> None:
    run(app)
    method = Greeter(greeting="hi").greet.with_options(timeout=5).with_concurrency(max_inputs=4)
    assert method.remote("you") == "hi you"
    assert method.local("you") == "hi you"
    (request,) = binds(service)
    assert request.fields == ["timeout_s", "pool.max_concurrent_inputs", "pool.target_concurrent_inputs"]
    assert request.parameters is not None
    assert pickle.loads(request.parameters.data) == ((), {"greeting": "hi"})


def test_volumes_and_secrets_of_a_variant(
    service: FakeService, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = iter(range(1, 100))
    monkeypatch.setattr(
        FakeService, "_volumes_open", lambda self, request: ObjectInfo(object_id=f"vo-{next(opened)}"), raising=False
    )
    app = App("volumes")
    f = app.function(name="f", serialized=True)(lambda: 1)
    service.functions["f"] = lambda: 1
    data, more = wherry.Volume.from_name("data"), wherry.Volume.from_name("more")
    with app.run(client=client):
        variant = f.with_options(volumes={"/data": data}).with_options(cpu=2, volumes={})
        assert pickle.loads(pickle.dumps(variant)).remote() == 1
        bucket = wherry.CloudBucketMount("a-bucket")
        variant.with_options(volumes={"/more": more, "/data": bucket}, max_inputs=1).remote()
    first, second = (request for _, request in service.requests if isinstance(request, FunctionBindRequest))
    assert first.changes is not None
    assert second.changes is not None
    assert first.fields == ["volumes", "bucket_mounts", "resources.cpu_request", "resources.cpu_limit"]
    assert [(one.volume_id, one.path) for one in first.changes.volumes] == [("vo-1", "/data")]
    assert [one.path for one in second.changes.volumes] == ["/more"]
    assert [one.path for one in second.changes.bucket_mounts] == ["/data"]
    assert "pool.single_use_containers" in second.fields
    with pytest.raises(InvalidError, match="volumes has 3 at /x"):
        f.with_options(volumes={"/x": 3})
    with pytest.raises(InvalidError, match="with_options has no option 'schedule'"):
        f.with_options(schedule=wherry.Period(days=1))


def test_from_parametrized(run: Run) -> None:
    run(app)
    base = Greeter().greet
    assert base.from_parametrized(None, (), {"greeting": "hi"}).object_id == Greeter(greeting="hi").greet.object_id
    assert base.from_parametrized(None, (), {}).object_id == base.object_id
    own = Greeter(greeting="hey").__wherry_object__.local.plain()
    assert base.from_parametrized(own, (), {"greeting": "hi"}).local("you") == "hey you"


def test_a_live_pool_is_updated_by_name(run: Run, service: FakeService) -> None:
    run(app)
    Greeter(greeting="hi").greet.keep_warm(2)
    Greeter().greet.update_autoscaler(max_containers=3, scaledown_window=5)
    first, second = [request for _, request in service.requests if isinstance(request, FunctionUpdateRequest)]
    assert first.fields == ["min_containers"]
    assert second.fields == ["max_containers", "scaledown_window_s"]
    assert first.function_id != second.function_id
    with pytest.raises(InvalidError, match="changes nothing"):
        Greeter().greet.update_autoscaler()


def test_handles_travel(run: Run) -> None:
    # Before the app runs they are found where they are defined, afterwards by id.
    early = pickle.loads(pickle.dumps((Greeter, Greeter(greeting="hi").greet, Greeter.with_options(timeout=5))))
    assert early[0] is Greeter
    assert early[1].local("you") == "hi you"
    run(app)
    assert early[2]().greet.remote("you") == "hello you"
    cls, obj, method = pickle.loads(pickle.dumps((Greeter, Greeter(greeting="hi"), Greeter(greeting="hi").greet)))
    assert cls.object_id == Greeter.object_id
    assert method.object_id == obj.greet.object_id == Greeter(greeting="hi").greet.object_id


# Looking up


def test_b49_looked_up_classes_have_methods(run: Run, client: Client) -> None:
    run(app)
    found = Cls.lookup("classes", "Greeter", client=client)
    assert found(greeting="ho").greet.remote("you") == "ho you"
    assert Cls.from_id(Greeter.object_id, client=client)().greet.remote("you") == "hello you"
    assert Function.lookup("classes", "Greeter.greet", client=client).remote("you") == "hello you"
    with pytest.raises(AttributeError, match="class 'Greeter' has no method 'gret'; did you mean 'greet'"):
        found().gret
    kind = found.__wherry_kind__
    with pytest.raises(NotFoundError, match="class 'Greeter' has no method 'gret'; did you mean 'greet'"):
        kind.caller_of(kind.service.callee.resolved(), ((), {}), "gret")
    with pytest.raises(ExecutionError, match="was looked up, so its source is not here"):
        found().greet.local("you")
    as_function = Function.lookup("classes", "Greeter", client=client)
    with pytest.raises(InvalidError, match=r"Greeter is a class: .*Cls\.lookup.* Greeter\(\)\.greet\.remote"):
        as_function.remote("you")


def test_a_function_is_no_class(running: Callable[..., Any], client: Client) -> None:
    function = running(lambda x: x)
    with pytest.raises(NotFoundError, match="is a function"):
        Cls.lookup("test", function.written.name, client=client)
    with pytest.raises(InvalidError, match="is not a method"):
        function.from_parametrized(None, (1,), {})


def test_b49_what_a_class_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="did you mean 'greet'"):
        Greeter().gret
    with pytest.raises(AttributeError):
        Greeter.nothing  # type: ignore[attr-defined]
    with pytest.raises(InvalidError, match=r"make an object first, for example Greeter\(\)\.greet\.remote"):
        Greeter.greet


# Here


def test_b48_local_enters_once_and_reaches_other_methods() -> None:
    greeter = Greeter(greeting="hey")
    assert greeter.greet.local("you") == "hey you"
    assert greeter.twice.local("you") == "hey youhey you"
    assert list(greeter.letters.local("ab")) == ["a", "b"]
    assert greeter.plain() == 1, "hooks ran once, also for methods that call others"
    assert (greeter.greeting, greeter.times) == ("hey", 1)
    assert greeter.__wherry_object__.local.plain() is greeter.__wherry_object__.local.plain()


def test_b48_async_hooks_run_in_the_loop_of_the_method() -> None:
    entered: list[asyncio.AbstractEventLoop] = []

    @make()
    class Async:
        @wherry.enter()
        async def begin(self) -> None:
            await asyncio.sleep(0)
            entered.append(asyncio.get_running_loop())

        @wherry.method()
        async def where(self) -> asyncio.AbstractEventLoop:
            return asyncio.get_running_loop()

        @wherry.method()
        async def count(self, n: int) -> AsyncIterator[int]:
            for i in range(n):
                yield i

        @wherry.method()
        def plain(self) -> int:
            return len(entered)

    async def use() -> None:
        obj = Async()
        both = await asyncio.gather(obj.where.local(), obj.where.local())
        assert both == [asyncio.get_running_loop()] * 2 == [*entered, *entered]
        assert [i async for i in obj.count.local(2)] == [0, 1]
        assert obj.plain.local() == 1
        # A plain method can't await them: they have a loop of their own.
        assert Async().plain.local() == 2
        assert [i async for i in Async().count.local(1)] == [0]
        assert len(entered) == 3

    asyncio.run(use())


def test_a_failing_hook_fails_the_call_and_runs_again() -> None:
    attempts: list[int] = []

    @make()
    class Flaky:
        @wherry.enter()
        def begin(self) -> None:
            attempts.append(1)
            if len(attempts) == 1:
                raise RuntimeError("not yet")

        @wherry.method()
        def f(self) -> int:
            return len(attempts)

    obj = Flaky()
    with pytest.raises(RuntimeError, match="not yet"):
        obj.f.local()
    assert obj.f.local() == 2


def test_older_hooks_and_arguments_of_init() -> None:
    @make()
    class Old:
        def __init__(self, x: int, *, y: int = 2) -> None:
            self.sum = x + y

        def __enter__(self) -> "Old":
            self.sum += 10
            return self

        async def __aenter__(self) -> "Old":
            self.sum += 100
            return self

        @wherry.method()
        def total(self) -> int:
            return self.sum

    assert Old(1).total.local() == 113
    assert Old(x=1, y=5).total.local() == 116
    for wrong in (Old, lambda: Old(1, 2), lambda: Old(1, z=3)):
        with pytest.raises(TypeError, match=r"Old\(\): "):
            wrong()


def test_hooks_for_a_snapshot_run_before_the_others() -> None:
    @make()
    class Snapped:
        def __init__(self) -> None:
            self.order: list[str] = []

        @wherry.enter()
        def after(self) -> None:
            self.order.append("after")

        @wherry.enter(snap=True)
        def before(self) -> None:
            self.order.append("before")

        @wherry.method()
        def told(self) -> list[str]:
            return self.order

    assert Snapped().told.local() == ["before", "after"]


def test_b47_inheritance() -> None:
    class Base:
        order: list[str]

        @wherry.enter()
        def first(self) -> None:
            self.order = ["base"]

        @wherry.enter()
        def replaced(self) -> None:
            raise AssertionError("a subclass has its own")

        @wherry.method()
        def inherited(self) -> list[str]:
            return self.order

        @wherry.method()
        def hidden(self) -> None: ...

    @make()
    class Child(Base):
        @wherry.enter()
        def last(self) -> None:
            self.order.append("child")

        @wherry.enter()
        def replaced(self) -> None:
            self.order.append("replaced")

        def hidden(self) -> str:  # type: ignore[override]
            return "plain"

    assert Child().inherited.local() == ["base", "replaced", "child"]
    assert Child().hidden() == "plain"

    class Grandchild(Child):  # type: ignore[misc, valid-type]
        @wherry.method()
        def own(self) -> int:
            return len(self.order)

    made = make()(Grandchild)
    assert made().own.local() == 3
    assert isinstance(made(), made)
    assert not isinstance(made(), Child)


# Parameters


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"greeting": 1}, r"Greeter\(greeting=1\): greeting must be of type str"),
        ({"times": "1"}, r"Greeter\(times='1'\): times must be of type int"),
        ({"times": True}, r"times must be of type int"),
        ({"grating": "x"}, r"Greeter\(\) has no parameter 'grating'; it has greeting, times"),
    ],
)
def test_parameters_are_checked_at_the_call(given: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Greeter(**given)


def test_parameters_by_position_are_refused() -> None:
    with pytest.raises(TypeError, match=r"Greeter\(\) takes its parameters by name: greeting=, times="):
        Greeter("hi")  # type: ignore[call-arg, arg-type]


def test_required_and_fixed_parameters() -> None:
    @make()
    class Model:
        name: str = wherry.parameter()
        scale: "float | None" = wherry.parameter(default=None)
        fixed: bytes = wherry.parameter(default=b"x", init=False)

        @wherry.method()
        def show(self) -> tuple[Any, ...]:
            return self.name, self.scale, self.fixed

    assert Model(name="a").show.local() == ("a", None, b"x")
    value = Model(name="a", scale=2).scale
    assert (value, type(value)) == (2.0, float)
    assert (
        Model(name="a", scale=2).__wherry_object__.arguments == Model(name="a", scale=2.0).__wherry_object__.arguments
    )
    with pytest.raises(TypeError, match=r"lacks its parameter 'name': write Model\(name=\.\.\.\)"):
        Model()
    with pytest.raises(TypeError, match=r"no parameter 'fixed'; it has name, scale"):
        Model(name="a", fixed=b"y")


class ListParameter:
    x: list[int] = wherry.parameter()

    @wherry.method()
    def f(self) -> None: ...


class NoType:
    x = wherry.parameter(default=1)

    @wherry.method()
    def f(self) -> None: ...


class WrongDefault:
    x: int = wherry.parameter(default="1")

    @wherry.method()
    def f(self) -> None: ...


class Both:
    x: int = wherry.parameter(default=1)

    def __init__(self) -> None: ...

    @wherry.method()
    def f(self) -> None: ...


class NoMethods:
    def f(self) -> None: ...


class Yields:
    @wherry.method()
    def f(self) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize(
    ("made", "options", "said"),
    [
        (ListParameter, {}, "parameter 'x' of class ListParameter has type list.*: it must be one of str, int"),
        (NoType, {}, r"parameter 'x' of class NoType lacks its type: write `x: str = wherry\.parameter"),
        (WrongDefault, {}, "parameter 'x' of class WrongDefault has type int: its default can't be '1'"),
        (Both, {}, r"class Both has both wherry\.parameter\(\) and __init__"),
        (NoMethods, {}, r"class NoMethods has no method to run: put @wherry\.method\(\) on one"),
        (Yields, {"retries": 2}, r"Yields\.f is a generator: retries= does not work with it"),
        (len, {}, r"@app\.cls\(\) got .*: it goes on a class; a function has @app\.function\(\)"),
        (Greeter, {}, r"Cls\('Greeter'\) is a class of an app already: decorate it once"),
        (Yields, {"timeout": 0}, "timeout is 0"),
        (Yields, {"timout": 5}, "there is no parameter 'timout'; did you mean 'timeout'"),
    ],
)
def test_classes_that_cannot_be(made: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        App("x").cls(**options)(made)


def test_parentheses_and_places_are_shown() -> None:
    def f(self: Any) -> None: ...

    for wrong, said in (
        (lambda: App("x").cls(Yields), r"write @app\.cls\(\) instead of @app\.cls"),
        (lambda: wherry.method(f), r"write @wherry\.method\(\) instead of @wherry\.method"),
        (lambda: wherry.enter(f), r"write @wherry\.enter\(\) instead"),
        (lambda: wherry.exit(f), r"write @wherry\.exit\(\) instead"),
        (lambda: wherry.method()(f), r"@wherry\.method\(\) is on .*f, which is in no class"),
        (lambda: wherry.method()(NoMethods), r"goes on a plain function in a class"),
        (lambda: wherry.method()(wherry.method()(NoMethods.f)), r"a method is one or the other"),
        (lambda: wherry.enter()(Plain.greet), r"must take self alone"),
        (lambda: App("x").function()(Yields), r"write @app\.cls\(\) there"),
        (lambda: App("x").function()(NoMethods.f), r"the method NoMethods\.f: write @wherry\.method\(\) there"),
        (lambda: App("x").function()(wherry.method()(NoMethods.f)), r"has both @app\.function\(\) and @wherry\.method"),
        (lambda: Yields().f, r"its class has no @app\.cls\(\): put it above `class Yields`"),
        (lambda: Yields.f.remote, r"make an object of its class"),
        (lambda: Greeter().greet("you"), r"Greeter\.greet is a wherry function and can't be called like a plain one"),
    ):
        with pytest.raises(InvalidError, match=said):
            wrong()  # type: ignore[no-untyped-call]


def test_warm_containers_need_something_to_run() -> None:
    class Model:
        name: str = wherry.parameter()

        @wherry.method()
        def f(self) -> None: ...

    decorate = make(min_containers=2)
    with pytest.warns(UserWarning, match=r"use Model\(name=\.\.\.\)\.f\.update_autoscaler\(min_containers=2\)"):
        made = decorate(Model)
    assert made.__wherry_kind__.service.written.options.min_containers == 0


def test_retries_of_a_variant_are_checked() -> None:
    with pytest.raises(InvalidError, match="letters is a generator"):
        Greeter.with_options(retries=2)
    with pytest.raises(InvalidError, match="with_options has no option 'serialized'"):
        Greeter.with_options(serialized=True)
    with pytest.raises(InvalidError, match="target_inputs is 9: it must be a whole number from 1 to 4"):
        Greeter.with_concurrency(max_inputs=4, target_inputs=9)


def test_arguments_have_one_pickle_in_every_process(tmp_path: Path) -> None:
    code = """
        import sys; from wherry._calling.variants import pickled
        text = "".join(["a", "b"])
        arguments = (), {"a": text, "b": "".join(["a", "b"]), "c": {"k": [1, 2.5, None]}, "d": (text, text)}
        sys.stdout.buffer.write(pickled(arguments, "C"))
    """
    other = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=True).stdout
    text = "ab"
    own = pickled(((), {"a": text, "b": text, "c": {"k": [1, 2.5, None]}, "d": ("ab", "".join("ab"))}), "C")
    assert own == other
    looped: list[Any] = []
    looped.append(looped)
    again = pickle.loads(pickled(((looped,), {}), "C"))[0][0]
    assert again[0] is again


def test_a_class_that_is_sent_itself_arrives_as_its_handle(tmp_path: Path) -> None:
    @make()
    class Sent:
        x: int = wherry.parameter(default=1)

        @wherry.method()
        def f(self, y: int) -> int:
            return self.x + y

        @wherry.method()
        def g(self, y: int) -> int:
            return self.f.local(y) * 2  # type: ignore[no-any-return]

    import cloudpickle

    sent = tmp_path / "sent"
    sent.write_bytes(cloudpickle.dumps(Sent.__wherry_kind__.service.written.shipped))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb'))(x=2).g.local(1))"
    # Its methods' globals are those of this module.
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", code, str(sent)]
    assert subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout == "6\n"
