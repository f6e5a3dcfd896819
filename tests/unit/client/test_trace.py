"""Tracebacks at a terminal: the user's frames, in colour, with a hint where one helps."""

import io
import re
from collections.abc import Callable
from types import CodeType

import pytest

import wherry
from wherry._connection.failure import hide_internals
from wherry.cli._trace import coloured, hint_of, show_error

app = wherry.App("traces")


def norm(values: list[float], *, power: int = 2) -> float:
    return float(sum(value**power for value in values))


def _raised(wrong: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any
        wrong()
    return caught.value


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (
            lambda: app.local_entrypoint(nmae="x"),  # type: ignore[call-arg]
            "hint: App.local_entrypoint has no parameter 'nmae'; did you mean 'name'?",
        ),
        (
            lambda: wherry.Image.debian_slim(python_verson="3.11"),  # type: ignore[call-arg]
            "hint: Image.debian_slim has no parameter 'python_verson'; did you mean 'python_version'?",
        ),
        (lambda: norm([1], powr=3), "hint: norm has no parameter 'powr'; did you mean 'power'?"),  # type: ignore[call-arg]
        (
            lambda: norm([1], nothing_like_it=3),  # type: ignore[call-arg]
            "hint: norm has no parameter 'nothing_like_it'; there are 'power', 'values'",
        ),
        (lambda: int("x"), ""),
        (lambda: dict(1), ""),  # type: ignore[call-overload]
    ],
)
def test_an_unexpected_argument_has_a_hint(wrong: Callable[[], object], hint: str) -> None:
    error = _raised(wrong)
    # From Python 3.13 on it says what may have been meant: that is enough.
    assert hint_of(error) == ("" if "Did you mean" in str(error) else hint)


class Raises:
    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


@pytest.mark.parametrize("thing", [wherry.Function.from_name("a", "f"), Raises()], ids=["looked up", "raises"])
@pytest.mark.parametrize("name", ["thing", "thing.f"])
def test_what_makes_no_hint_hides_no_error(thing: object, name: str) -> None:
    def wrong() -> None:
        assert thing is not None
        raise TypeError(f"{name}() got an unexpected keyword argument 'x'")

    assert hint_of(_raised(wrong)) == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colour_and_a_pipe_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    error = _raised(lambda: norm([1], nothing_like_it=3))  # type: ignore[call-arg]
    shown, piped = Terminal(), io.StringIO()
    for stream in (shown, piped):
        monkeypatch.setattr("sys.stderr", stream)
        show_error(error)
    assert "\x1b" not in piped.getvalue()
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue()) == piped.getvalue()
    lines = shown.getvalue().splitlines()
    assert lines[0] == "\x1b[2mTraceback (most recent call last):\x1b[0m"
    assert '\x1b[36mFile "' in lines[1]
    assert any(line.startswith("\x1b[1m    ") and "norm([1], nothing_like_it=3)" in line for line in lines)
    assert lines[-2].startswith("\x1b[1;31mTypeError:\x1b[0m ")
    assert lines[-1].startswith("\x1b[36mhint: norm has no parameter 'nothing_like_it'")


def test_what_others_wrote_in_a_traceback_steers_no_terminal() -> None:
    frames = 'Traceback (most recent call last):\n  File "<co-1>:/root/a.py", line 1, in f\n    boom\n'
    text = f"{frames}ValueError: \x1b]0;t\x07\x1b[2Jx\n"
    assert coloured(text).endswith("\x1b[1;31mValueError:\x1b[0m x\n")


@pytest.mark.parametrize("place", ["/wherry/sdk/wherry/function.py", "/wherry/runner/wherry_runner/terminal.py"])
def test_frames_of_ours_in_a_container_are_hidden(place: str) -> None:
    def at(file: str, code: str, **names: object) -> CodeType:
        return compile(code, file, "exec")

    inner: dict[str, object] = {}
    exec(at(f"<co-01ABC>:{place}", "def boom():\n    raise ValueError('x')\n"), inner)
    outer: dict[str, object] = {"boom": inner["boom"]}
    exec(at("<co-01ABC>:/root/user.py", "def work():\n    boom()\n"), outer)
    error = _raised(outer["work"])  # type: ignore[arg-type]
    hide_internals(error)
    files = []
    trace = error.__traceback__
    while trace is not None:
        files.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    assert files[-1] == "<co-01ABC>:/root/user.py"
    # A directory of the user's that is called so is none of ours.
    mine: dict[str, object] = {}
    exec(at("<co-01ABC>:/root/wherry/sdk/a.py", "def work():\n    raise ValueError('x')\n"), mine)
    error = _raised(mine["work"])  # type: ignore[arg-type]
    hide_internals(error)
    assert error.__traceback__ is not None
