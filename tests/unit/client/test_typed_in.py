"""Functions and classes that no file has are sent themselves."""

import pickle
import sys
import types
from typing import Any

import pytest

import wherry
from wherry._define.definition import Definition
from wherry._publish.spec import function_spec

SOURCE = """
import wherry
app = wherry.App("a")
@app.function()
def f(x): return x + 1
@app.function()
def g(x): return f, C
@app.cls()
class C:
    @wherry.method()
    def m(self): return 1
less = app.function(name="less")(lambda x: x - 1)
"""


def _made(**names: Any) -> dict[str, Any]:
    exec(compile(SOURCE, "<typed>", "exec"), names)
    return names


@pytest.mark.parametrize("name", ["gone", "__main__", "builtins", None, "by_hand", "from_input"])
def test_they_are_sent_whatever_their_module_says(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    if name == "by_hand":
        monkeypatch.setitem(sys.modules, name, module := types.ModuleType(name))
        exec(compile(SOURCE, "<typed>", "exec"), vars(module))
        names = vars(module)
    elif name == "from_input":
        monkeypatch.setitem(sys.modules, "__main__", module := types.ModuleType("__main__"))
        vars(module)["__file__"] = "<stdin>"
        exec(compile(SOURCE, "<stdin>", "exec"), vars(module))
        names = vars(module)
    else:
        monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
        names = _made(__name__=name) if name else _made()
    for made in ("f", "g", "less"):
        spec = function_spec(names[made].written, "im-1", "")
        assert spec.serialized is not None
        assert not spec.module_name
    assert function_spec(names["C"].__wherry_kind__.service.definition, "im-1", "").serialized is not None
    # Nothing of that module is left to be found where it arrives.
    serialized = function_spec(names["g"].written, "im-1", "").serialized
    assert serialized is not None
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    if name == "by_hand":
        monkeypatch.delitem(sys.modules, name)
    f, made_class = pickle.loads(serialized.data)(1)
    assert (repr(f), repr(made_class)) == ("Function('f')", "Cls('C')")


def test_what_a_doctest_defines_is_not_its_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    # As doctest does: a copy of the names of a module that has a file.
    names = _made(__name__=__name__)
    for made in ("f", "g"):
        assert function_spec(names[made].written, "im-1", "").serialized is not None
    assert function_spec(names["C"].__wherry_kind__.service.definition, "im-1", "").serialized is not None
    # Made by exec, and yet its module's own.
    monkeypatch.setattr(sys.modules[__name__], "f", names["f"], raising=False)
    spec = function_spec(names["f"].written, "im-1", "")
    assert (spec.serialized, spec.module_name) == (None, __name__)


def test_a_file_is_sent_where_there_is_one() -> None:
    assert not Definition(_made, None, None, wherry.App("a").function()._options).sends_itself


def test_what_a_class_lacks_without_an_object_is_an_attribute_error() -> None:
    made: Any = _made(__name__="gone")["C"]
    assert not hasattr(made, "m")
    with pytest.raises(wherry.exception.InvalidError, match=r"C.m is a method: make an object first"):
        _ = made.m
