"""Failures become exceptions that read like local ones."""

import asyncio
import linecache
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
from tblib import Traceback

from wherry import exception
from wherry._connection.failure import Failures, hide_internals
from wherry._connection.pickling import loads
from wherry_proto.messages import Failure, FailureKind, Format, Payload

CONTAINER = "co-" + "0" * 26


def failures() -> Failures:
    return Failures(lambda payload: loads(payload.data))


def remote_failure(error: BaseException, kind: int = FailureKind.EXCEPTION, filename: str = "") -> Failure:
    described = Traceback(error.__traceback__).to_dict() if error.__traceback__ else None
    if described is not None and filename:
        described["tb_frame"]["f_code"]["co_filename"] = filename
    data = pickle.dumps((error, described))
    return Failure(
        kind=kind,
        type_name="builtins.ValueError",
        message=str(error),
        traceback="Traceback (most recent call last): …",
        exception=Payload(format=Format.PICKLE, data=data, size=len(data)),
        container_id=CONTAINER,
    )


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_b22_traceback_reads_as_one_stack_with_remote_lines(tmp_path: Path) -> None:
    source = tmp_path / "census.py"
    own = Path(__file__).read_text()
    source.write_text(own)
    failure = remote_failure(raised(ValueError("no")), filename="/run/wherry/source/census.py")
    error = failures().exception(failure, tmp_path)
    with pytest.raises(ValueError, match="no") as caught:
        raise error
    text = "".join(traceback.format_exception(caught.value))
    assert f'File "<{CONTAINER}>:/run/wherry/source/census.py"' in text
    assert "raise error" in text.partition(CONTAINER)[2]
    assert text.index("test_b22") < text.index(CONTAINER)


def test_b23_type_that_is_not_here(tmp_path: Path) -> None:
    # A pickle of an exception whose module does not exist here.
    data = b"cnot_installed_here\nBoom\n(tR\x8c\x01x\x86."
    failure = Failure(
        kind=FailureKind.EXCEPTION,
        type_name="not_installed_here.Boom",
        message="bang",
        traceback='  File "x.py", line 3, in f',
        exception=Payload(format=Format.PICKLE, data=data),
    )
    error = failures().exception(failure)
    assert isinstance(error, exception.ExecutionError)
    assert "not_installed_here" in str(error)
    assert 'File "x.py", line 3' in str(error)
    assert "bang" in str(error)


def test_b24_exception_that_could_not_be_pickled() -> None:
    failure = Failure(kind=FailureKind.EXCEPTION, type_name="m.Odd", message="text", traceback="trace")
    error = failures().exception(failure)
    assert isinstance(error, exception.ExecutionError)
    assert "m.Odd: text" in str(error)
    assert "trace" in str(error)


def test_notes_and_cause_survive() -> None:
    error = ValueError("x")
    error.add_note("look here")
    rebuilt = failures().exception(remote_failure(error))
    assert rebuilt.__notes__ == ["look here"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FailureKind.TIMEOUT, exception.FunctionTimeoutError),
        (FailureKind.CANCELLED, exception.RemoteError),
        (FailureKind.CONTAINER_LOST, exception.RemoteError),
        (FailureKind.OUT_OF_MEMORY, exception.RemoteError),
        (FailureKind.NOT_FOUND, exception.NotFoundError),
        (FailureKind.EXPIRED, exception.OutputExpiredError),
        (FailureKind.INTERNAL, exception.InternalError),
        (FailureKind.STARTUP, exception.RemoteError),
        (FailureKind.SERIALIZATION, exception.SerializationError),
        (99, exception.RemoteError),
    ],
)
def test_kinds(kind: int, expected: type[Exception]) -> None:
    error = failures().exception(Failure(kind=kind, message="what happened"))
    assert type(error) is expected
    assert "what happened" in str(error)


def test_failing_import_raises_itself() -> None:
    error = failures().exception(remote_failure(ImportError("no numpy"), FailureKind.STARTUP))
    assert type(error) is ImportError


def test_time_out_is_not_the_builtin() -> None:
    assert not issubclass(exception.FunctionTimeoutError, TimeoutError)


def test_own_frames_are_hidden() -> None:
    from wherry._base.ids import check_id

    def user_code() -> Any:
        return check_id("x", "fc", "call")

    try:
        user_code()
    except exception.InvalidError as error:
        hide_internals(error)
        text = "".join(traceback.format_exception(error))
    assert "user_code" in text
    assert "ids.py" not in text


@pytest.mark.parametrize(("value", "shown"), [("x", False), (None, True)])
def test_frames_that_are_all_its_own_are_shown_only_where_the_fault_is_wherrys(value: Any, shown: bool) -> None:
    from wherry._base.ids import check_id

    with pytest.raises((exception.InvalidError, TypeError)) as caught:
        check_id(value, "fc", "call")
    # As a command has it: what calls is Wherry's too.
    error = caught.value.with_traceback(caught.tb.tb_next)
    hide_internals(error)
    assert ("ids.py" in "".join(traceback.format_exception(error))) == shown


def test_what_came_is_no_exception() -> None:
    data = pickle.dumps(("text", None))
    failure = Failure(kind=FailureKind.EXCEPTION, message="m", exception=Payload(format=Format.PICKLE, data=data))
    assert "not an exception" in str(failures().exception(failure))


class Quit(SystemExit):
    def __str__(self) -> str:
        raise SystemExit("from its own words")


class Deep(BaseException):
    """A base exception of the user's own: it means nothing to anyone else."""


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(1),
        StopAsyncIteration(),
        asyncio.CancelledError(),
        Quit(1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_would_steer_this_program_is_the_cause_of_an_error(error: BaseException) -> None:
    failure = Failure(
        kind=FailureKind.EXCEPTION,
        type_name="builtins.X",
        message="why",
        exception=Payload(format=Format.PICKLE, data=pickle.dumps((error, None))),
        container_id=CONTAINER,
    )
    made = failures().exception(failure)
    assert isinstance(made, exception.UnraisableError)
    assert type(made.exc) is type(error)
    assert made.exc is made.__cause__
    assert made.exc.args == error.args
    assert "raised X: why. It is not raised as itself here" in str(made)
    # Out of a container it travels on.
    again = pickle.loads(pickle.dumps(made))
    assert (type(again), str(again), type(again.exc)) == (type(made), str(made), type(error))


@pytest.mark.parametrize("error", [Deep(1), exception.InputCancellation("x"), BaseExceptionGroup("g", [SystemExit(1)])])
def test_other_base_exceptions_come_as_themselves(error: BaseException) -> None:
    assert type(failures().exception(remote_failure(error))) is type(error)


def test_lines_of_many_containers_do_not_pile_up(tmp_path: Path) -> None:
    (tmp_path / "census.py").write_text(Path(__file__).read_text())
    made = failures()
    before = len(linecache.cache)
    failure = remote_failure(raised(ValueError("no")), filename="/run/wherry/source/census.py")
    for number in range(1000):
        failure.container_id = f"co-{number:026}"
        error = made.exception(failure, tmp_path)
    assert "raise error" in "".join(traceback.format_exception(error))
    assert len(linecache.cache) < before + 210
