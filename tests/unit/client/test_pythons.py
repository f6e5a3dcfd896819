"""Programs and images with different Pythons."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import wherry
from tests.fakes.service import FakeService
from wherry._connection import pickling
from wherry._connection.client import Client
from wherry._publish.image_files import OWN_PYTHON, resolve
from wherry._publish.images import ensure_images
from wherry.exception import DeserializationError, InvalidError
from wherry_proto.messages import ImageEnsureRequest, ImageEvent

OTHER = "3.1"


def having(service: FakeService, monkeypatch: pytest.MonkeyPatch, python: str) -> list[ImageEnsureRequest]:
    """Have all images of a service have this Python; return the requests for them."""
    asked: list[ImageEnsureRequest] = []
    stream = service.stream

    def streamed(method: str, request: Any) -> Any:
        if method != "Images.Ensure":
            yield from stream(method, request)
            return
        asked.append(request)
        for index, _ in enumerate(request.images):
            yield ImageEvent(index=index, image_id=f"im-{index}", python=python)

    monkeypatch.setattr(service, "stream", streamed)
    return asked


def test_the_service_is_told_which_python_this_program_has() -> None:
    definition = resolve(wherry.Image.debian_slim(), None).definition
    assert definition.steps[0].options == {"near_python": OWN_PYTHON}
    assert resolve(wherry.Image.debian_slim("3.13"), None).definition.steps[0].options == {"python_version": "3.13"}
    assert resolve(wherry.Image.from_scratch(), None).definition.steps[0].options == {}


def test_another_python_is_told_once(
    service: FakeService, client: Client, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    having(service, monkeypatch, OTHER)
    plain = wherry.Image.debian_slim()
    with pytest.warns(UserWarning, match=rf"has Python {OTHER}: this program's, {OWN_PYTHON}, can't be had"):
        ensure_images(client, [plain])
    ensure_images(client, [plain.env({"A": "b"})])
    assert not [one for one in recwarn if "can't be had" in str(one.message)]


@pytest.mark.parametrize(
    ("python", "make"),
    [
        (OWN_PYTHON, wherry.Image.debian_slim),
        ("", wherry.Image.debian_slim),
        (OTHER, lambda: wherry.Image.debian_slim("3.13")),
        (OTHER, lambda: wherry.Image.from_registry("python:3.13-slim")),
    ],
)
@pytest.mark.filterwarnings("error")
def test_nothing_is_told_where_it_is_as_asked(
    service: FakeService, client: Client, monkeypatch: pytest.MonkeyPatch, python: str, make: Callable[[], Any]
) -> None:
    having(service, monkeypatch, python)
    assert ensure_images(client, [make()]) == ["im-0"]


@pytest.mark.filterwarnings("ignore:Image.debian_slim")
def test_a_function_that_is_sent_as_byte_code_needs_the_same_python(
    service: FakeService, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    having(service, monkeypatch, OTHER)
    app = wherry.App("a")
    app.function(serialized=True, name="f")(lambda: 1)
    said = f"f is sent as byte code of Python {OWN_PYTHON}, and its image has Python {OTHER}"
    with pytest.raises(InvalidError, match=said), app.run(client=client):
        pass


def test_one_that_is_imported_does_not(service: FakeService, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    having(service, monkeypatch, OTHER)
    app = wherry.App("a", image=wherry.Image.debian_slim("3.13"))
    service.functions["test_the_service_is_told_which_python_this_program_has"] = lambda: None
    app.function()(test_the_service_is_told_which_python_this_program_has)
    with app.run(client=client):
        pass


# Values


def sent_by(monkeypatch: pytest.MonkeyPatch, python: str, value: Any, by_reference: bool) -> bytes:
    """Return what a process of that Python would send."""
    with monkeypatch.context() as there:
        there.setattr(pickling, "PYTHON", python)
        return pickling.dumps(value, by_reference)


class Holder:
    """Holds a function of its own making."""

    def __init__(self) -> None:
        self.call = lambda: 7


@pytest.mark.parametrize("by_reference", [True, False])
@pytest.mark.parametrize("value", [lambda: 7, [lambda: 7], Holder()], ids=["lambda", "in a list", "in an object"])
def test_byte_code_of_another_python_is_refused_where_it_arrives(
    monkeypatch: pytest.MonkeyPatch, value: Any, by_reference: bool
) -> None:
    said = rf"sent as byte code of Python {OTHER}, and this is Python {OWN_PYTHON}.*debian_slim\(\"{OTHER}\"\)"
    with pytest.raises(DeserializationError, match=said):
        pickle.loads(sent_by(monkeypatch, OTHER, value, by_reference))
    found = pickle.loads(sent_by(monkeypatch, OWN_PYTHON, value, by_reference))
    found = found[0] if isinstance(found, list) else getattr(found, "call", found)
    assert found() == 7


def test_what_a_script_defines_is_checked_too() -> None:
    program = f"""
import pickle
from wherry._connection import pickling

class Own:
    def call(self):
        return 7

own = pickling.PYTHON
pickling.PYTHON = {OTHER!r}
data = pickling.dumps(Own(), False)
pickling.PYTHON = own
del Own
try:
    pickle.loads(data)
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"DeserializationError a function, or a class, was sent as byte code of Python {OTHER}" in done.stdout


def test_plain_values_go_from_one_python_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"a": [1, (2.5, None)], "b": ValueError("x")}
    assert repr(pickle.loads(sent_by(monkeypatch, OTHER, value, True))) == repr(value)
