"""A program that runs another Python than there is for its images, played by one that says so."""

import warnings

import pytest

import wherry
from tests.acceptance.apps import pythons
from tests.acceptance.conftest import RunApp
from wherry._connection import pickling
from wherry._publish import image_files, images
from wherry.exception import InvalidError

# No Debian has it; the nearest is what this program runs.
THEIRS = "3.10"


@pytest.fixture
def their_python(monkeypatch: pytest.MonkeyPatch) -> str:
    for module in (image_files, images):
        monkeypatch.setattr(module, "OWN_PYTHON", THEIRS)
    monkeypatch.setattr(pickling, "PYTHON", THEIRS)
    monkeypatch.setattr(wherry._connection.client.default_client(), "has_told_python", False)
    return THEIRS


def test_a_program_is_told_which_python_it_gets_and_what_that_can_not_run(run_app: RunApp, their_python: str) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with run_app(pythons.app):
            assert pythons.call.remote(dict) == {}
            with pytest.raises(Exception, match=r"byte code of Python 3\.10, and this is Python 3\.11"):
                pythons.call.remote(lambda: 1)
    said = [str(one.message) for one in told if "this program's, 3.10, can't be had" in str(one.message)]
    assert len(said) == 1
    assert "Image.debian_slim() has Python 3.11" in said[0]
    own = wherry.App("pythons-by-value")
    own.function(serialized=True, name="f")(lambda: 1)
    with pytest.raises(InvalidError, match=r"f is sent as byte code of Python 3\.10, and its image has Python 3\.11"):
        own.run().__enter__()
