"""Ends of all kinds: what the caller gets, and what it says."""

import time
import traceback
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.acceptance.conftest import RunApp
from wherry.exception import ExecutionError, FunctionTimeoutError, RemoteError, UnraisableError


@pytest.fixture(scope="module")
def ends(run_app: RunApp) -> Iterator[ModuleType]:
    from tests.acceptance.apps import ends

    with run_app(ends.app):
        yield ends


def raised(ends: ModuleType, how: str, kind: type[BaseException]) -> BaseException:
    with pytest.raises(kind) as caught:
        ends.trouble.remote(how)
    assert caught.type is kind
    return caught.value


def test_b21_an_exception_group_arrives_whole_with_its_notes(ends: ModuleType) -> None:
    group = raised(ends, "group", ExceptionGroup)
    assert isinstance(group, ExceptionGroup)
    assert group.message == "two things"
    first, inner = group.exceptions
    assert (type(first), first.args) == (ValueError, ("first",))
    assert isinstance(inner, ExceptionGroup)
    assert (type(inner.exceptions[0]), inner.exceptions[0].args) == (KeyError, ("second",))
    assert group.__notes__ == ["they came together"]
    assert "ends.py" in "".join(traceback.format_exception(group))


def test_b21_causes_and_contexts_arrive(ends: ModuleType) -> None:
    error = raised(ends, "chain", RuntimeError)
    lookup = error.__context__
    assert (type(lookup), str(lookup)) == (LookupError, "no such number")
    assert lookup is not None
    assert type(lookup.__cause__) is ValueError


def test_b23_a_type_that_is_not_here_is_told_by_name(ends: ModuleType) -> None:
    text = str(raised(ends, "foreign", ExecutionError))
    assert text.startswith("the function raised only_in_the_container.Odd: nobody else has it")
    assert "only_in_the_container" in text.splitlines()[1]
    assert "Remote traceback:" in text
    assert "ends.py" in text


def test_b24_what_can_not_be_pickled_is_told(ends: ModuleType) -> None:
    text = str(raised(ends, "locked", ExecutionError))
    assert "ends.Locked: holds a lock" in text
    assert "Remote traceback:" in text


def test_b24_what_is_huge_is_trimmed(ends: ModuleType) -> None:
    text = str(raised(ends, "huge", ValueError))
    assert text.startswith("xxx")
    assert len(text) < 1 << 20


def test_b26_a_keyboard_interrupt_there_is_no_ctrl_c_here(ends: ModuleType) -> None:
    where = ends.trouble.remote("")
    error = raised(ends, "keyboard", UnraisableError)
    assert "raised KeyboardInterrupt" in str(error)
    assert isinstance(error.__cause__, KeyboardInterrupt)
    assert "<co-" in "".join(traceback.format_exception(error))
    assert ends.trouble.remote("") == where


def test_a_recursion_error_is_one(ends: ModuleType) -> None:
    where = ends.trouble.remote("")
    error = raised(ends, "recursion", RecursionError)
    assert "maximum recursion depth" in str(error)
    assert ends.trouble.remote("") == where


def test_a_process_that_ends_itself_is_told_by_its_code(ends: ModuleType) -> None:
    with pytest.raises(RemoteError) as caught:
        ends.die.remote("exit")
    assert "exited with code 7 while it ran this input. It was run 4 times." in str(caught.value)
    assert "raise an exception instead" in str(caught.value)


def test_a_segmentation_fault_shows_where(ends: ModuleType) -> None:
    with pytest.raises(RemoteError) as caught:
        ends.die.remote("segfault")
    assert "was killed by signal 11 (SIGSEGV)" in str(caught.value)
    assert "Native code crashed" in str(caught.value)
    assert "Fatal Python error: Segmentation fault" in str(caught.value)
    assert "in die" in str(caught.value)


def test_out_of_memory_names_the_limit(ends: ModuleType) -> None:
    with pytest.raises(RemoteError) as caught:
        ends.hoard.remote()
    assert "ran out of memory at its limit of 96 MiB" in str(caught.value)
    assert "memory=" in str(caught.value)


def test_b27_a_module_that_can_not_be_imported_is_told_with_what_helps(run_app: RunApp) -> None:
    from tests.acceptance.apps import broken

    with run_app(broken.app), pytest.raises(ModuleNotFoundError) as caught:
        broken.never.remote()
    text = "".join(traceback.format_exception(caught.value))
    assert "no_such_package_anywhere" in str(caught.value)
    assert 'Image.pip_install("no_such_package_anywhere")' in text


def test_b28_c_code_that_never_lets_go_is_killed_and_timed_out(ends: ModuleType) -> None:
    began = time.monotonic()
    with pytest.raises(FunctionTimeoutError) as caught:
        ends.hold_the_interpreter.remote(10**12)
    assert "timeout of 1 s" in str(caught.value)
    assert "its container was killed" in str(caught.value)
    assert time.monotonic() - began < 20
    assert ends.hold_the_interpreter.remote(10) == 45
