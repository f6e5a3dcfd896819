"""Parameters as command line options."""

import datetime
from collections.abc import Sequence
from typing import Any, Literal, Optional

import pytest

from wherry.cli._parameters import parse
from wherry.exception import InvalidError


def f(
    n: int,
    name: str = "x",
    ratio: float = 0.5,
    flag: bool = False,
    when: datetime.datetime | None = None,
    some_thing: Optional[int] = None,  # noqa: UP045 - the older spelling must work
    mode: Literal["a", "b"] = "a",
    level: Literal[1, 2] = 1,
    many: list[int] = [7],  # noqa: B006 - never changed
    words: Sequence[str] | None = None,
    odd: dict[str, int] = {},  # noqa: B006 - never changed
) -> None: ...


# `odd` keeps its default by being left out: a dict can't be an option.
DEFAULTS = {
    "many": [7],
    "words": None,
    "n": 1,
    "name": "x",
    "ratio": 0.5,
    "flag": False,
    "when": None,
    "some_thing": None,
    "mode": "a",
    "level": 1,
}


@pytest.mark.parametrize(
    ("args", "changed"),
    [
        ([], {}),
        (["--name", "y"], {"name": "y"}),
        (["--ratio=2"], {"ratio": 2.0}),
        (["--flag"], {"flag": True}),
        (["--no-flag"], {}),
        (["--when", "2024-05-06"], {"when": datetime.datetime(2024, 5, 6)}),
        (["--when", "2024-05-06T07:08:09"], {"when": datetime.datetime(2024, 5, 6, 7, 8, 9)}),
        (["--some-thing", "4"], {"some_thing": 4}),
        (["--some_thing", "4"], {"some_thing": 4}),
        (["--mode", "b"], {"mode": "b"}),
        (["--level", "2"], {"level": 2}),
        (["--many", "1", "--many=2"], {"many": [1, 2]}),
        (["--words", "a", "--words", "b"], {"words": ["a", "b"]}),
    ],
)
def test_b60_typed_options(args: list[str], changed: dict[str, Any]) -> None:
    assert parse(f, "f", ["--n", "1", *args]) == ((), {**DEFAULTS, **changed})


@pytest.mark.parametrize(
    "args", [[], ["--n", "x"], ["--n", "1", "--mode", "c"], ["--n", "1", "--nope"], ["1"], ["--n", "1", "--many", "x"]]
)
def test_what_does_not_fit_is_a_usage_error(args: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(f, "f", args)
    assert caught.value.code == 2


def test_variadic() -> None:
    def g(first: str = "d", *rest: int) -> None: ...

    assert parse(g, "g", ["--first", "a", "1", "2"]) == (("a", 1, 2), {})
    assert parse(g, "g", []) == ((), {"first": "d"})


def test_without_annotations_the_default_tells() -> None:
    def g(a, b=3, c=False):  # type: ignore[no-untyped-def]
        ...

    assert parse(g, "g", ["--a", "1", "--b", "4", "--c"]) == ((), {"a": "1", "b": 4, "c": True})


def test_a_type_that_can_not_be_an_option_is_named() -> None:
    def g(a: bytes) -> None: ...

    with pytest.raises(InvalidError, match=r"'a' has type bytes"):
        parse(g, "g", [])


def test_a_list_may_be_required() -> None:
    def g(xs: list[float]) -> None: ...

    assert parse(g, "g", ["--xs", "1", "--xs", "2.5"]) == ((), {"xs": [1.0, 2.5]})
    with pytest.raises(SystemExit):
        parse(g, "g", [])


def test_help_tells_what_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(f, "f", ["-h"])
    assert "Not an option, since its type can't be one: odd. It keeps its default." in capsys.readouterr().out


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Says what it does."""

    def g(a: int = 1, *rest: float, name: str = "", at: datetime.datetime | None = None) -> None:
        """Count things."""

    with pytest.raises(SystemExit) as caught:
        parse(g, "g", ["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "Count things" in text
    # Words, not types of Python.
    for shown in ("--a INTEGER", "--name TEXT", "--at DATE", "[OPTIONS] [REST...]"):
        assert shown in text
