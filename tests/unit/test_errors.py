"""Exceptions from a container to its caller, without either: what the runner describes, the client rebuilds."""

import asyncio
import dataclasses
import linecache
import pickle
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry._connection.failure import Failures, hide_internals
from wherry._connection.pickling import loads
from wherry.exception import ExecutionError, UnraisableError
from wherry_proto.messages import Failure, FailureKind, Format, Payload
from wherry_runner import errors, failures
from wherry_runner.frames import MAX_HEADER, dump

CONTAINER = "co-1"


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:  # noqa: BLE001
        return caught


def carried(error: BaseException) -> BaseException:
    """Return what the caller gets."""
    header, data = failures.describe(error)
    assert len(dump(header)) < MAX_HEADER
    assert len(data) <= errors.MAX_PICKLE
    failure = Failure(
        kind=FailureKind.EXCEPTION,
        type_name=header["type"],
        message=header["message"],
        traceback=header["traceback"],
        exception=Payload(format=Format.PICKLE, data=data, size=len(data)),
        container_id=CONTAINER,
    )
    return Failures(lambda payload: loads(payload.data)).exception(failure)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int
    detail: str = "x"


class Slotted(Exception):
    __slots__ = ("code", "unset")

    def __init__(self, code: int) -> None:
        super().__init__("slotted")
        self.code = code


class Sealed(Exception):
    """Nothing can be set on it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.__dict__["code"] = code

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError("sealed")


class Keyword(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__qualname__", "__module__"):
            raise SystemExit(3)
        return super().__getattribute__(name)


class OfMeta(Exception, metaclass=Meta):
    pass


@pytest.mark.parametrize("kind", [Frozen, Slotted, Sealed, Keyword])
@pytest.mark.parametrize("way", ["itself", "a cause", "a context", "in a group", "an attribute"])
def test_exceptions_that_can_not_be_changed(kind: Any, way: str) -> None:
    error: Any = raised(kind(code=3))
    if way == "itself":
        again = carried(error)
    elif way == "a cause":
        again = carried(raised(ValueError("outer"), error)).__cause__
    elif way == "a context":
        outer = ValueError("outer")
        outer.__context__ = error
        again = carried(outer).__context__
    elif way == "in a group":
        group = carried(ExceptionGroup("g", [KeyError(1), ExceptionGroup("h", [error])]))
        again = group.exceptions[1].exceptions[0]  # type: ignore[attr-defined]
    else:
        outer = ValueError("outer")
        outer.inner = error  # type: ignore[attr-defined]
        again = carried(outer).inner  # type: ignore[attr-defined]
    assert type(again) is type(error)
    assert again.code == 3
    assert again.args == error.args
    assert [frame.name for frame in traceback.extract_tb(again.__traceback__)] == ["raised"]


def _raises(error: BaseException) -> Callable[..., Any]:
    def method(*_: Any) -> Any:
        raise error

    return method


ODD = [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), RecursionError("r"), ValueError()]
METHODS = ["__str__", "__repr__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__init__", "__eq__"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("odd", ODD, ids=lambda e: type(e).__name__)
def test_exceptions_whose_methods_raise_are_named(method: str, odd: BaseException) -> None:
    class Odd(Exception):
        pass

    error = Odd("what happened")
    setattr(Odd, method, _raises(odd))
    error = raised(error)  # type: ignore[assignment]
    header, _ = failures.describe(error)
    assert header["type"].endswith("Odd")
    assert "in raised" in header["traceback"]
    if method not in ("__str__",):
        assert "what happened" in header["message"]
    again = carried(error)
    assert type(again) is Odd or "Odd" in str(again)
    # And so is an exception that has it as its cause.
    outer = carried(raised(ValueError("outer"), error))
    assert type(outer) is ValueError
    assert type(outer.__cause__) is Odd or "Odd" in str(outer.__cause__)


def test_a_metaclass_that_exits() -> None:
    header, data = failures.describe(raised(OfMeta("x")))
    assert header["type"] == "OfMeta"
    assert header["message"] == "x"
    assert data or header["traceback"]


@pytest.mark.parametrize("size", [errors.MAX_PICKLE - 200_000, errors.MAX_PICKLE, 5 << 20])
@pytest.mark.parametrize("where", ["attribute", "argument", "note", "cause"])
def test_a_heavy_exception_keeps_its_type(size: int, where: str) -> None:
    heavy = "x" * size
    error: Any = Keyword(code=4)
    if where == "attribute":
        error.weight = heavy
    elif where == "argument":
        error.args = (heavy, 7)
    elif where == "note":
        error.add_note(heavy)
    else:
        error.__cause__ = ValueError(heavy)
    again: Any = carried(raised(error, error.__cause__))
    assert type(again) is Keyword
    assert again.code == 4
    if where == "argument":
        assert again.args[1] == 7
    if where == "cause":
        assert type(again.__cause__) is ValueError
    if where == "attribute" and size > errors.MAX_PICKLE:
        assert "weight" in again.__notes__[-1]


def test_a_chain_of_five_hundred_keeps_the_first_hundred() -> None:
    error: BaseException | None = None
    for number in range(500):
        error = raised(Keyword(code=number), error)
    assert error is not None
    again: BaseException | None = carried(error)
    for number in range(99):
        assert type(again) is Keyword, number
        assert again.code == 499 - number
        again = again.__cause__
    header, _ = failures.describe(error)
    assert "code 0" in header["traceback"]
    assert "code 499" in header["traceback"]


def test_a_group_of_many_comes_with_stand_ins_for_the_rest() -> None:
    again: Any = carried(ExceptionGroup("many", [Keyword(code=number) for number in range(300)]))
    assert len(again.exceptions) == 300
    assert [error.code for error in again.exceptions[:99]] == list(range(99))
    assert type(again.exceptions[299]) is ExecutionError


def test_exceptions_that_lead_to_each_other() -> None:
    first, second = Keyword(code=1), Keyword(code=2)
    first.__context__, second.__cause__ = second, first
    again: Any = carried(first)
    assert again.__context__.code == 2
    assert again.__context__.__cause__ is again
    held: Any = Keyword(code=3)
    held.itself = [held]
    assert carried(held).itself[0] is not None  # type: ignore[attr-defined]


def test_a_member_that_can_not_be_pickled_is_text_and_the_others_come() -> None:
    odd = ValueError("odd")
    odd.lock = threading.Lock()  # type: ignore[attr-defined]
    again: Any = carried(ExceptionGroup("g", [odd, Keyword(code=1)]))
    assert type(again) is ExceptionGroup
    assert "ValueError: odd" in str(again.exceptions[0])
    assert again.exceptions[1].code == 1


def test_a_suppressed_context_stays_away() -> None:
    error = raised(ValueError("outer"))
    error.__context__ = KeyError("hidden")
    error.__suppress_context__ = True
    again = carried(error)
    assert again.__suppress_context__
    assert again.__context__ is None


def test_a_deep_traceback_comes_with_both_ends() -> None:
    def deep(number: int) -> None:
        if not number:
            raise ValueError("deep")
        deep(number - 1)

    try:
        deep(400)
    except ValueError as error:
        again = carried(error)
    names = [frame.name for frame in traceback.extract_tb(again.__traceback__)]
    assert len(names) == errors.MAX_FRAMES
    assert names[0] == "test_a_deep_traceback_comes_with_both_ends"


def test_frames_of_wherrys_own_are_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = f"{failures._HERE}executor.py"
    source = "def call(f): f()"
    linecache.cache[own] = (len(source), None, [source], own)
    space: dict[str, Any] = {}
    exec(compile(source, own, "exec"), space)

    def user() -> None:
        raise ValueError("inner")

    def outer() -> None:
        try:
            space["call"](user)
        except ValueError as error:
            raise KeyError("outer") from error

    try:
        space["call"](outer)
    except KeyError as error:
        header, _ = failures.describe(error)
        again: Any = carried(error)
    assert "executor.py" not in header["traceback"]
    assert "in user" in header["traceback"]
    assert [frame.name for frame in traceback.extract_tb(again.__cause__.__traceback__)] == ["outer", "user"]
    assert f"<{CONTAINER}>" in again.__cause__.__traceback__.tb_frame.f_code.co_filename


def test_answers_that_older_runners_have_left_can_be_read() -> None:
    data = pickle.dumps((ValueError("old"), None))
    failure = Failure(
        kind=FailureKind.EXCEPTION, exception=Payload(format=Format.PICKLE, data=data), container_id=CONTAINER
    )
    again = Failures(lambda payload: loads(payload.data)).exception(failure)
    assert (type(again), again.args) == (ValueError, ("old",))


@pytest.mark.parametrize("odd", [(1, 2, 3), ("errors", []), ("errors", [()]), ("errors", 5), 7, None, (1, None)])
def test_what_is_no_exception_is_an_error_with_the_text(odd: Any) -> None:
    data = pickle.dumps(odd)
    failure = Failure(
        kind=FailureKind.EXCEPTION,
        type_name="m.Lost",
        message="text",
        exception=Payload(format=Format.PICKLE, data=data),
    )
    again = Failures(lambda payload: loads(payload.data)).exception(failure)
    assert type(again) is ExecutionError
    assert "m.Lost: text" in str(again)


def test_hiding_frames_of_an_exception_that_refuses_it() -> None:
    error = raised(Sealed(1), raised(Frozen(2)))
    hide_internals(ExceptionGroup("g", [error]))  # type: ignore[list-item]
    assert error.__traceback__ is not None


# Any exception

ARGS = st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=20), st.binary(max_size=20)), max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from([ValueError, KeyError, OSError, Frozen, StopIteration, SystemExit, UnicodeError, Exception]),
    args=ARGS,
    attributes=st.dictionaries(st.text(min_size=1, max_size=5), st.integers(), max_size=3),
    depth=st.integers(0, 5),
)
def test_any_exception_arrives_as_it_was(kind: Any, args: list[Any], attributes: dict[str, int], depth: int) -> None:
    try:
        error: Any = kind(*args)
    except TypeError:
        error = kind(1)
    if kind is not Frozen:
        error.__dict__.update(attributes)
    inner: BaseException = error
    for number in range(depth):
        inner = raised(KeyError(number), inner)
    again: Any = carried(inner)
    for _ in range(depth):
        assert type(again) is KeyError
        again = again.__cause__
    if isinstance(again, UnraisableError):
        again = again.exc
    # An OSError picks its class by its number.
    assert type(again) is type(error)
    assert again.args == error.args
    if kind is not Frozen:
        assert {name: again.__dict__[name] for name in attributes} == attributes
