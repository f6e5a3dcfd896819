"""What decides whether a function of an image runs again."""

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import wherry
from wherry import Image
from wherry._publish.image_files import resolve
from wherry.exception import InvalidError

PROGRAM = """\
import os

LIMIT = 3
OTHER = 1


def helper():
    return "help"


def make(x=0):
    return os.path.join("a", helper(), str(LIMIT))
"""


@pytest.fixture
def module(tmp_path: Path) -> Callable[[str], ModuleType]:
    """Make a module of a text, each time a new one."""
    numbers = iter(range(100))

    def make(text: str) -> ModuleType:
        path = tmp_path / f"m{next(numbers)}" / "program.py"
        path.parent.mkdir()
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("program", path)
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        return made

    return make


def fingerprint(function: Callable[..., Any], **options: Any) -> str:
    image = Image.debian_slim().run_function(function, **options)
    return resolve(image, None).definition.steps[1].options["fingerprint"]


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("OTHER = 1", "OTHER = 2", True),
        ("import os\n", "# a comment above\nimport os\n\n\n", True),
        ("    return os", "    # a comment of its own\n    return os", True),
        ("def make(x=0):", "def make(x=0):  # a comment", True),
        ('return "help"', 'return "# no comment"', False),
        ("LIMIT = 3", "LIMIT = 4", False),
        ('return "help"', 'return "other"', False),
        ('os.path.join("a"', 'os.path.join("b"', False),
    ],
)
def test_its_source_and_the_globals_it_names_count(
    module: Callable[[str], ModuleType], old: str, new: str, is_same: bool
) -> None:
    assert old in PROGRAM
    first, second = module(PROGRAM), module(PROGRAM.replace(old, new))
    assert (fingerprint(first.make) == fingerprint(second.make)) == is_same


@pytest.mark.parametrize(
    ("options", "is_same"),
    [
        ({}, True),
        ({"cpu": 2.0, "memory": 512, "timeout": 60, "env": {"A": "b"}}, True),
        ({"args": (1,)}, False),
        ({"kwargs": {"x": 1}}, False),
    ],
)
def test_its_arguments_count_and_its_limits_do_not(
    module: Callable[[str], ModuleType], options: dict[str, Any], is_same: bool
) -> None:
    make = module(PROGRAM).make
    assert (fingerprint(make) == fingerprint(make, **options)) == is_same


def test_equal_arguments_are_equal_whatever_the_order_of_a_dict() -> None:
    def take(data: object) -> None: ...

    first = fingerprint(take, args=({"a": {1, 2}, "b": [3]},))
    assert first == fingerprint(take, args=({"b": [3], "a": {2, 1}},))
    assert first != fingerprint(take, args=({"a": {1, 2}, "b": [4]},))


def test_the_files_of_its_mounts_count(tmp_path: Path) -> None:
    def make() -> None: ...

    def made() -> str:
        return fingerprint(make, mounts=[wherry.Mount.from_local_dir(tmp_path, remote_path="/given")])

    (tmp_path / "a").write_text("1")
    first = made()
    assert made() == first != fingerprint(make)
    (tmp_path / "a").write_text("2")
    assert made() != first


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(InvalidError, match="it takes a plain function"):
        Image.debian_slim().run_function(print)
    with pytest.raises(InvalidError, match=r"volumes .* must be a wherry\.Volume"):
        Image.debian_slim().run_function(lambda: None, volumes={"/data": "cache"})


def test_a_wrapper_counts_beside_what_it_wraps() -> None:
    def wrapped(text: str) -> Callable[..., Any]:
        def inner() -> str:
            return text

        @functools.wraps(inner)
        def wrapper() -> str:
            return prefix + inner()

        prefix = text[:1]
        return wrapper

    assert fingerprint(wrapped("ab")) == fingerprint(wrapped("ab")) != fingerprint(wrapped("ac"))
