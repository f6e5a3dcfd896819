"""Classes whose methods run in containers, and variants of functions."""

from collections.abc import Iterator
from types import ModuleType

import pytest

import wherry
from tests.acceptance.conftest import RunApp
from tests.acceptance.service import OwnService
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def classes(run_app: RunApp) -> Iterator[ModuleType]:
    from tests.acceptance.apps import classes

    with run_app(classes.app):
        yield classes


def test_b36_b47_hooks_run_once_before_the_first_input_bases_first(classes: ModuleType) -> None:
    greeter = classes.Greeter()
    assert greeter.greet.remote("you") == "hello, you"
    events, calls, where, pid = greeter.state.remote()
    assert (events, calls) == (["base", "greeter"], 1)
    assert greeter.inherited.remote() == "Greeter"
    assert greeter.state.remote() == (events, 1, where, pid), "all methods share one container and object"


def test_b46_arguments_have_containers_of_their_own(classes: ModuleType) -> None:
    polite = classes.Greeter(greeting="good day", times=2)
    assert polite.greet.remote("sir") == "good day, good day, sir"
    assert list(polite.greet.map(["a", "b"])) == ["good day, good day, a", "good day, good day, b"]
    where = polite.state.remote()[2]
    assert where != classes.Greeter().state.remote()[2]
    again = classes.Greeter(times=2, greeting="good day")
    assert again.state.remote()[1:3] == (3, where), "equal arguments meet in one container"
    assert again.greet.object_id == polite.greet.object_id != classes.Greeter().greet.object_id


def test_methods_yield_spawn_and_call_each_other(classes: ModuleType) -> None:
    greeter = classes.Greeter()
    assert list(greeter.letters.remote_gen("abc")) == ["a", "b", "c"]
    assert greeter.greet.spawn("later").get(timeout=30) == "hello, later"
    assert greeter.ask_another.remote("x") == "hi, x / hello, x"


def test_methods_of_all_kinds_share_a_container(classes: ModuleType) -> None:
    mixed = classes.Mixed()
    assert mixed.times.remote(4) == 40
    assert mixed.plus.remote(4) == 14
    assert list(mixed.count.remote_gen(3)) == [0, 1, 2]
    assert list(mixed.count_down.remote_gen(3)) == [3, 2, 1]


def test_b36_the_older_style_works_and_exit_runs_on_scale_down(
    classes: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    with wherry.enable_output():
        assert classes.Old("/tmp/x").show.remote() == ("/tmp/x", True)
        printed: list[str] = []

        def left() -> bool:
            printed.append(capfd.readouterr().out)
            return "left /tmp/x" in "".join(printed)

        wait_until(left, "the exit hook has printed")


def test_b27_a_failing_enter_hook_fails_what_waits(classes: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="the model is not there"):
        classes.Broken().run.remote()


def test_b48_local_runs_here_its_hooks_once(classes: ModuleType) -> None:
    greeter = classes.Greeter(greeting="hey")
    assert greeter.greet.local("you") == "hey, you"
    assert greeter.state.local()[:2] == (["base", "greeter"], 1)


def test_b49_a_class_is_looked_up(classes: ModuleType) -> None:
    found = wherry.Cls.lookup("classes", "Greeter")
    assert found(greeting="ho").greet.remote("you") == "ho, you"
    assert wherry.Cls.from_name("classes", "Greeter")().greet.remote("you") == "hello, you"
    assert wherry.Function.lookup("classes", "Greeter.greet").remote("you") == "hello, you"
    with pytest.raises(AttributeError, match="has no method 'gret'; did you mean 'greet'"):
        _ = found().gret
    with pytest.raises(wherry.exception.NotFoundError, match="has no method 'gret'; did you mean 'greet'"):
        wherry.Cls.from_name("classes", "Greeter")().gret.remote()
    with pytest.raises(wherry.exception.NotFoundError, match="did you mean 'Greeter'"):
        wherry.Cls.lookup("classes", "Greter")


def test_options_make_a_variant_with_containers_of_its_own(classes: ModuleType, service: OwnService) -> None:
    plain = classes.variable.remote("COLOUR")
    variant = classes.variable.with_options(env={"COLOUR": "blue"}, memory=64)
    assert variant.remote("COLOUR")[0] == "blue"
    assert variant.remote("COLOUR")[1] != plain[1]
    assert classes.variable.remote("COLOUR") == plain
    assert classes.variable.with_options(memory=64, env={"COLOUR": "blue"}).object_id == variant.object_id
    loud = classes.Greeter.with_options(env={"A": "1"})(greeting="HEY")
    assert loud.greet.remote("you") == "HEY, you"


def test_a_live_pool_is_scaled(classes: ModuleType) -> None:
    function = classes.variable.with_options(env={"SCALED": "1"})
    function.keep_warm(1)
    wait_until(lambda: function.get_current_stats().num_total_runners == 1, "a container is kept")
    function.update_autoscaler(min_containers=0, scaledown_window=0.1)
    wait_until(lambda: function.get_current_stats().num_total_runners == 0, "it is let go")
