"""Whose a failed input is, in which version it ran, and who hears of it."""

from typing import Any

import pytest

from wherry_proto.messages import AppState, CallKind, Deployment, FailureHandler, FunctionSpec, MethodSpec, Payload
from wherry_service.apps.app import App
from wherry_service.apps.endpoints import Endpoints, Site
from wherry_service.apps.failed import FailedOnes, check_failure_handlers
from wherry_service.apps.plans import revision_of
from wherry_service.apps.register import AppRegister
from wherry_service.calls.call import Call, Input
from wherry_service.errors import InvalidRequest
from wherry_service.store.apps import AppRecord, FunctionRecord


def spec(name: str, told: str = "", told_app: str = "", **fields: Any) -> FunctionSpec:
    handler = FailureHandler(app_name=told_app, function_name=told) if told or told_app else None
    return FunctionSpec(name=name, on_failure=handler, **fields)


def register_of(*apps: tuple[str, str, list[FunctionSpec]]) -> AppRegister:
    nothing: Any = None
    register = AppRegister(nothing, nothing, Endpoints(Site()))
    for name, environment, specs in apps:
        app_id = f"ap-{environment}-{name}"
        app = App(AppRecord(app_id, name, environment, AppState.DEPLOYED, "", 1))
        register.add(app)
        for one in specs:
            register.put(app, FunctionRecord(f"fu-{environment}-{name}-{one.name}", app_id, one.name, one))
    return register


def item(function_id: str) -> Input:
    return Input("in-1", Call("fc-1", function_id, CallKind.SPAWN, None, ""), 0, Payload())


@pytest.mark.parametrize(
    ("told", "told_app", "told_id", "problem"),
    [
        ("tell", "", "fu-main-a-tell", ""),
        ("page", "b", "fu-main-b-page", ""),
        ("page", "c", "", "no app named 'c' runs in environment 'main'"),
        ("pagee", "b", "", "did you mean 'page'"),
        ("Room", "b", "", "is a class"),
        ("", "", "", ""),
    ],
)
def test_who_hears_of_it(told: str, told_app: str, told_id: str, problem: str) -> None:
    room = spec("Room", methods=[MethodSpec(name="m")])
    register = register_of(
        ("a", "main", [spec("f", told, told_app), spec("tell")]),
        ("b", "main", [spec("page"), room]),
        # In another environment it would be another's to say who is called.
        ("c", "prod", [spec("page")]),
    )
    facts = FailedOnes(register).look(item("fu-main-a-f"), "")
    assert facts is not None
    assert (facts.app_id, facts.app_name, facts.function_name, facts.version) == ("ap-main-a", "a", "f", 0)
    assert facts.told_id == told_id
    assert problem in facts.problem
    assert bool(problem) == bool(facts.problem)


def test_a_function_that_is_gone_is_not_known() -> None:
    assert FailedOnes(register_of()).look(item("fu-1"), "") is None


def test_the_version_is_that_of_the_container_that_ran_it() -> None:
    register = register_of(("a", "main", [spec("f")]))
    app = register.running("ap-main-a")
    app.deployment = Deployment(version=5)
    app.served = {("fu-main-a-f", "old"): 3}
    ones = FailedOnes(register)

    def version(revision: str) -> int | None:
        facts = ones.look(item("fu-main-a-f"), revision)
        return facts.version if facts is not None else None

    assert (version("old"), version("new"), version("")) == (3, 5, 5)
    app.functions["fu-main-a-f"].version = 2
    assert version("old") == 2


@pytest.mark.parametrize(
    ("specs", "says"),
    [
        ([spec("f", "tell"), spec("tel")], "on_failure names 'tell', which its app does not have; did you mean 'tel'"),
        ([spec("f", "f")], "names the function itself"),
        ([spec("f", "g"), spec("g", is_generator=True)], "is a class, a generator"),
        ([spec("f", "Room"), spec("Room", methods=[MethodSpec(name="m")])], "is a class, a generator"),
        ([FunctionSpec(name="f", on_failure=FailureHandler())], "names no function"),
        ([spec("f", "x" * 300)], "names no function"),
        ([spec("f", "g", "a" * 65)], "names no function"),
    ],
)
def test_an_app_is_refused_whose_failures_nobody_could_hear_of(specs: list[FunctionSpec], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        check_failure_handlers(specs)


def test_an_app_is_taken_whose_failures_can_be_heard_of() -> None:
    check_failure_handlers([spec("f", "g"), spec("g", "f"), spec("h", "any", "other"), spec("i")])


def test_who_hears_of_failures_needs_no_other_containers() -> None:
    assert revision_of(spec("f", "g")) == revision_of(spec("f"))
