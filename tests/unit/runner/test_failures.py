"""Exceptions as failure frames."""

import pickle

import pytest

from wherry._connection.rebuilt import Rebuilt
from wherry_runner import errors, failures
from wherry_runner.frames import MAX_HEADER, dump


def _raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001
        return caught


def test_type_message_and_pickle() -> None:
    header, data = failures.describe(_raised(ValueError("x", 1)))
    error = Rebuilt(pickle.loads(data), str).error

    assert (header["type"], header["kind"]) == ("builtins.ValueError", "exception")
    assert error.args == ("x", 1)


@pytest.mark.parametrize("text", ["\x01" * 2_000_000, "é" * 2_000_000, '"\\' * 1_000_000, "\ud800" * 500_000])
def test_b24_any_text_fits_a_header(text: str) -> None:
    header, data = failures.describe(_raised(ValueError(text)))

    assert len(dump(header)) < MAX_HEADER
    assert len(header["message"].encode()) <= failures.MAX_MESSAGE
    assert len(header["traceback"].encode()) <= failures.MAX_TRACEBACK
    assert len(data) <= errors.MAX_PICKLE


def test_b24_what_can_not_be_pickled_is_text() -> None:
    assert failures.describe(_raised(ValueError(lambda: 1, open)))[0]["type"] == "builtins.ValueError"


def test_hints() -> None:
    missing = ModuleNotFoundError("No module named 'PIL'", name="PIL")
    own = ModuleNotFoundError("No module named 'pkg.b'", name="pkg.b")

    assert 'pip_install("pillow")' in failures.missing_module_hint(missing, "job")
    assert "add_local_python_source" in failures.missing_module_hint(own, "pkg.a")
    assert "pip_install" not in failures.missing_module_hint(own, "pkg.a")
    assert failures.missing_module_hint(ImportError("cannot import name 'x'"), "job") == ""
