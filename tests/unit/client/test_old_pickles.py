"""What versions before have pickled, into Dicts and Queues and for deployed apps, can be read."""

import base64
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import wherry

# Made by 0.1.0 as it was before its modules moved into folders; base64 of each pickle.
ROWS = (Path(__file__).parent / "old_pickles.txt").read_text().splitlines()
OLD = {name: base64.b64decode(text) for name, text in (row.split(": ") for row in ROWS)}


def loaded(name: str) -> Any:
    return pickle.loads(OLD[name])


@pytest.mark.parametrize("name", OLD)
def test_a_pickle_of_before_is_read_by_a_process_that_has_imported_nothing(name: str) -> None:
    program = f"import pickle; print(repr(pickle.loads({OLD[name]!r})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_handles_are_what_they_were() -> None:
    assert repr(loaded("a Dict")) == "Dict('shared')"
    assert loaded("a Queue").object_id == "qu-01M84FGRVRNANF8XXZSWHJDQ25"
    assert repr(loaded("a Volume")) == "Volume('files')"
    assert repr(loaded("a Secret")) == "Secret.from_name('key')"
    assert loaded("a Function").object_id == "fu-01M84FGRVRNANF8XXZSWHJDQ25"
    assert repr(loaded("a Cls")) == "Cls('Model')"
    assert repr(loaded("an Obj")) == "Obj('Model')"
    assert isinstance(loaded("a method"), wherry.cls.Method)
    assert loaded("a FileEntry") == ("a.txt", 1, 5, 7)


def test_an_app_that_a_function_names() -> None:
    app = loaded("an App")
    assert (app.name, app.app_id, app.image) == ("old", None, wherry.Image.debian_slim())


def test_an_app_travels_without_the_code_of_its_functions() -> None:
    app = wherry.App("new", secrets=[wherry.Secret.from_name("key")])
    lock = threading.Lock()
    app.function(serialized=True, name="f")(lambda: lock)
    arrived = pickle.loads(cloudpickle.dumps(app))
    assert (arrived.name, list(arrived.registered_functions)) == ("new", ["f"])


def test_a_local_entrypoint_was_somewhere_else() -> None:
    assert pickle.loads(b"cwherry._define.entrypoint\nLocalEntrypoint\n.") is wherry.stub.LocalEntrypoint


def test_an_app_is_pickled_as_every_version_has_it() -> None:
    app = wherry.App("new")
    app.function(serialized=True, name="f")(lambda: 1)
    state = app.__getstate__()
    assert {"_functions", "_entrypoints"} < state.keys()
    assert not any(type(value).__module__.startswith("wherry._app") for value in state.values())


def test_variants_keep_their_changes() -> None:
    row = loaded("a variant").__reduce__()[1]
    assert set(row[1].fields) >= {"resources.memory_request_mib", "image_id", "secret_ids"}
    image = row[1].image
    assert isinstance(image, wherry.Image)
    assert image == wherry.Image.debian_slim().env({"A": "b"}).add_local_file("/etc/hostname", "/h")
    function = loaded("an image with a function").__reduce__()[1][1].image.steps[-1].given[0]
    assert (function.name, function.args) == ("basename", ("a/b",))


def test_what_a_class_is_made_of() -> None:
    method, page, parameter, handle = loaded("what a class is made of")
    assert isinstance(method, wherry.PartialFunction)
    assert page.web.method == "GET"
    assert parameter.default is wherry.parameter().default
    assert handle.cls is None


def test_handles_are_pickled_by_the_names_that_every_version_has() -> None:
    for name in ("a Dict", "a Queue", "a Volume", "a Secret", "a Function", "a FunctionCall", "a Cls", "a Sandbox"):
        assert pickle.dumps(loaded(name)) == OLD[name], name
