"""What user code raises, here and there."""

import traceback
from types import ModuleType

import pytest

from wherry.exception import UnraisableError


def test_b21_an_exception_arrives_as_itself(calls: ModuleType) -> None:
    with pytest.raises(calls.MyError) as caught:
        calls.misbehave.remote("raise", 7, "seven")
    assert caught.type is calls.MyError
    assert caught.value.args == (7, "seven")
    assert (caught.value.code, caught.value.detail) == (7, "seven")


def test_b21_its_cause_comes_along(calls: ModuleType) -> None:
    with pytest.raises(calls.MyError) as caught:
        calls.misbehave.remote("raise from", 8, "eight")
    assert type(caught.value.__cause__) is ValueError
    assert "nonsense" in str(caught.value.__cause__)


def test_b22_the_traceback_goes_on_through_the_call(calls: ModuleType) -> None:
    with pytest.raises(calls.MyError) as caught:
        calls.misbehave.remote("raise", 7, "seven")
    text = "".join(traceback.format_exception(caught.value))
    assert "test_failures.py" in text
    # The line itself, and where it ran.
    assert 'tests/acceptance/apps/calls.py", line' in text
    assert "in fail_with" in text
    assert "raise MyError(code, detail)" in text
    assert "<co-" in text
    assert "wherry_runner" not in text


def test_b26_leaving_the_program_fails_the_input_and_the_container_lives(calls: ModuleType) -> None:
    before = calls.misbehave.remote("pid")
    with pytest.raises(UnraisableError, match="raised SystemExit: 3") as caught:
        calls.misbehave.remote("exit", 3)
    assert isinstance(caught.value.exc, SystemExit)
    assert caught.value.exc.code == 3
    assert calls.misbehave.remote("pid") == before
