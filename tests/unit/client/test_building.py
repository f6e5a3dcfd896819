"""Classes with `@build()` methods: what becomes of their image, and what runs where it is built."""

import asyncio
import pickle
from typing import Any

import pytest

import wherry
from wherry import App, Image
from wherry._classes.building import RunBuilds
from wherry._connection import pickling
from wherry._publish.build_function import fingerprint
from wherry.exception import InvalidError

ran: list[Any] = []


class Model:
    name: str = wherry.parameter(default="tiny")

    @wherry.build()
    def download(self) -> None:
        ran.append(("download", self.name))

    @wherry.build(force=True, timeout=60)
    @wherry.enter(snap=True)
    async def load(self) -> None:
        await asyncio.sleep(0)
        ran.append("load")

    @wherry.enter()
    @wherry.build()
    def warm(self) -> None:
        ran.append("warm")

    @wherry.method()
    def run(self) -> None: ...


def plan_of(app: App) -> tuple[Any, Any]:
    plan = app.__wherry_owner__.plan()
    (definition,) = plan.definitions
    return plan, definition


def step_of(app: App) -> Any:
    plan, definition = plan_of(app)
    return plan.image_of(definition).steps[-1]


def test_the_image_of_a_class_has_a_step_more(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App("x", image=Image.debian_slim("3.12"), secrets=[wherry.Secret.from_dict({"A": "b"})])
    volume = wherry.Volume.from_name("v")
    made: Any = app.cls(serialized=True, cpu=2, volumes={"/v": volume, "/b": wherry.CloudBucketMount("bucket")})(Model)
    step = step_of(app)
    assert (step.kind, step.args, step.force_build) == ("run_function", ("Model.download, load, warm",), True)
    assert plan_of(app)[0].image_of(plan_of(app)[1]).steps[:-1] == Image.debian_slim("3.12").steps
    assert plan_of(app)[0].image_of(plan_of(app)[1]) == plan_of(app)[0].image_of(plan_of(app)[1])
    (function,) = step.given
    options = function.definition.options
    assert (options.timeout, options.cpu, len(options.secrets)) == (86_400.0, (2, 0), 1)
    assert options.volumes == (("/v", volume),)
    # It is called where the image is built.
    ran.clear()
    pickle.loads(pickling.dumps_by_value(function.definition.shipped, function.definition.module))()
    assert ran[:1] != ["download"]
    assert [name for name, partial in made._blueprint.methods.items()] == ["run"]


def test_build_methods_run_in_order_and_hooks_run_as_well() -> None:
    app = App("x")
    made: Any = app.cls(serialized=True)(Model)
    ran.clear()
    RunBuilds("", "", made)()
    assert ran == [("download", "tiny"), "load", "warm"]
    ran.clear()
    made().run.local()
    assert ran == ["load", "warm"]


def test_it_is_built_again_when_the_text_or_a_default_differs() -> None:
    def one(default: str, text: str) -> str:
        app = App("x")
        namespace: dict[str, Any] = {"wherry": wherry, "default": default, "text": text, "__name__": __name__}
        exec(
            "class Model:\n"
            "    name: str = wherry.parameter(default=default)\n"
            "    @wherry.build()\n"
            f"    def download(self): return {text!r}\n"
            "    @wherry.method()\n"
            "    def run(self): ...\n",
            namespace,
        )
        app.cls(serialized=True)(namespace["Model"])
        return fingerprint(step_of(app).given[0])

    assert one("a", "b") == one("a", "b")
    assert len({one("a", "b"), one("b", "b"), one("a", "c")}) == 3


def test_a_class_without_them_has_its_image_as_it_is() -> None:
    app = App("x", image=Image.debian_slim("3.12"))

    @app.cls(serialized=True)
    class Plain:
        @wherry.method()
        def run(self) -> None: ...

    plan, definition = plan_of(app)
    assert plan.image_of(definition) is plan.image


def test_what_can_not_be_a_build_method_is_told() -> None:
    with pytest.raises(InvalidError, match=r"write @wherry.build\(\) instead"):
        wherry.build(lambda self: None)
    with pytest.raises(InvalidError, match="which must take self alone"):

        class Takes:
            @wherry.build()
            def download(self, url: str) -> None: ...

    with pytest.raises(InvalidError, match="has both"):

        class Both:
            @wherry.build()
            @wherry.method()
            def run(self) -> None: ...

    with pytest.raises(InvalidError, match="timeout is 0"):
        wherry.build(timeout=0)
