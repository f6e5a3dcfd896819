"""Which files are shipped."""

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

import wherry
from wherry._base.code import importable_name
from wherry._publish.source import SourceFile, source_files
from wherry.exception import InvalidError


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {
        "script.py": "import helper\nimport json\ndef f():\n    import lazily\n",
        "helper.py": "import pkg_w.sub",
        "lazily.py": "",
        "unrelated.py": "",
        "broken.py": "this is not python",
        "pkg_w/__init__.py": "from . import sub",
        "pkg_w/sub.py": "from pkg_w.deep import x",
        "pkg_w/deep/__init__.py": "x = 1",
        "pkg_w/data.json": "{}",
        "pkg_w/__pycache__/sub.pyc": "",
        "pkg_w/.hidden": "",
        "pkg_w/.git/config": "",
        "pkg_w/venv/pyvenv.cfg": "",
        "pkg_w/venv/lib.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    return importlib.util.module_from_spec(spec)


def names(*modules: ModuleType) -> list[str]:
    return [file.path for file in source_files(modules)[0]]


PACKAGE = ["pkg_w/__init__.py", "pkg_w/data.json", "pkg_w/deep/__init__.py", "pkg_w/sub.py"]


def test_script_with_what_it_imports(tree: Path) -> None:
    files, root = source_files([load(tree / "script.py", "script")])
    assert [file.path for file in files] == ["helper.py", "lazily.py", *PACKAGE, "script.py"]
    assert root == tree
    assert all(file.blob_id.startswith("sha256:") for file in files)


def test_script_as_main(tree: Path) -> None:
    module = load(tree / "script.py", "__main__")
    module.__spec__ = None
    assert "script.py" in names(module)


def test_module_of_a_package_ships_the_package(tree: Path) -> None:
    assert names(load(tree / "pkg_w/deep/__init__.py", "pkg_w.deep")) == PACKAGE
    assert names(load(tree / "pkg_w/sub.py", "pkg_w.sub")) == PACKAGE


def test_installed_modules_and_those_without_files_stay_here(tree: Path) -> None:
    assert names(json, sys) == []


def test_syntax_errors_are_left_to_python(tree: Path) -> None:
    assert names(load(tree / "broken.py", "broken")) == ["broken.py"]


def test_same_content_same_hash(tree: Path) -> None:
    files = {file.path: file.blob_id for file in source_files([load(tree / "script.py", "script")])[0]}
    again = {file.path: file.blob_id for file in source_files([load(tree / "script.py", "script")])[0]}
    assert files == again


def test_an_import_is_found_wherever_it_stands(tmp_path: Path) -> None:
    names = [f"found_{letter}" for letter in "abcdefgh"]
    for name in names:
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "everywhere.py").write_text(
        "import found_a\n"
        "def f():\n    if True:\n        from found_b import x\n    else:\n        import found_c as c\n"
        "class C:\n    try:\n        import found_d\n    except ImportError:\n        import found_e\n"
        "    finally:\n        import found_f\n"
        "async def g(x):\n    async with x as y:\n        for z in y:\n            match z:\n                case 1:\n"
        "                    import found_g, os\n    while z:\n        pass\n    else:\n        import found_h\n"
    )
    from wherry._publish import source

    assert set(names) <= source._imports(tmp_path / "everywhere.py")


def test_data_with_the_name_of_a_package_is_not_sent(tree: Path) -> None:
    importlib.import_module("tblib")
    (tree / "script.py").write_text("import tblib, own_ns.inner\n")
    for name in ("tblib/private.bin", "own_ns/inner.py", "own_ns/data.txt"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text("x = 1")
    importlib.import_module("own_ns")
    # A package without __init__.py is one, where Python has it from here.
    assert names(load(tree / "script.py", "script")) == ["own_ns/data.txt", "own_ns/inner.py", "script.py"]
    del sys.modules["own_ns"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my.app.v1.py", "my_app_v1"),
        ("tool", "tool"),
        ("tool.txt", "tool_txt"),
        ("helper", "helper_"),
        ("my-app.py", "my-app"),
        ("ran/__main__.py", "ran_main"),
        ("window.pyw", "window"),
    ],
)
def test_a_script_is_sent_under_a_name_that_can_be_imported(
    tree: Path, monkeypatch: pytest.MonkeyPatch, file: str, name: str
) -> None:
    (tree / file).parent.mkdir(exist_ok=True)
    (tree / file).write_text("import lazily\n")
    main = ModuleType("__main__")
    main.__file__ = str(tree / file)
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert importable_name("__main__") == name
    assert f"{name}.py" in names(main)
    assert ("lazily.py" in names(main)) is ("/" not in file)


def test_a_link_to_a_script_is_the_script(tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere"
    link.mkdir()
    (link / "other_name.py").symlink_to(tree / "script.py")
    main = ModuleType("__main__")
    main.__file__ = str(link / "other_name.py")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert importable_name("__main__") == "script"
    assert names(main) == ["helper.py", "lazily.py", *PACKAGE, "script.py"]


def test_links_in_a_package_are_followed_and_none_without_end(tree: Path) -> None:
    shared = tree / "elsewhere"
    shared.mkdir()
    (shared / "more.py").write_text("def f(): pass")
    (tree / "pkg_w/linked").symlink_to(shared)
    (tree / "pkg_w/up").symlink_to(tree / "pkg_w")
    (tree / "pkg_w/deep/again").symlink_to(tree / "pkg_w/deep")
    assert names(load(tree / "pkg_w/sub.py", "pkg_w.sub")) == [*PACKAGE[:3], "pkg_w/linked/more.py", PACKAGE[3]]
    # A module behind a link is of the package that it is imported from.
    inner = load(tree / "pkg_w/linked/more.py", "pkg_w.linked.more")
    assert "pkg_w/linked/more.py" in names(inner)


def test_what_runs_scripts_is_not_the_script(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As cProfile and trace do: __main__ is their own module.
    spec = importlib.util.find_spec("cProfile")
    profiler = ModuleType("__main__")
    assert spec is not None
    profiler.__spec__, profiler.__file__ = spec, spec.origin
    monkeypatch.setitem(sys.modules, "__main__", profiler)
    space = {"__name__": "__main__", "__file__": str(tree / "script.py"), "wherry": wherry}
    text = """
app = wherry.App("profiled")

@app.function()
def f(): pass

@app.cls()
class C:
    @wherry.method()
    def g(self): pass
"""
    exec(compile(text, str(tree / "script.py"), "exec"), space)
    app = space["app"]
    assert isinstance(app, wherry.App)
    for function in app._roster.functions.values():
        assert function.written.module_name == "script"
        assert function.written.module is not None
        assert "script.py" in names(function.written.module)


def test_what_can_not_be_read_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: SourceFile, copy: object = None) -> None:
        if self.path == "helper.py":
            raise PermissionError(13, "Permission denied")
        if self.path == "lazily.py":
            raise FileNotFoundError

    monkeypatch.setattr(SourceFile, "read", refuse)
    with pytest.raises(InvalidError, match=r"helper\.py, which belongs to your code, can't be read: Permission denied"):
        source_files([load(tree / "script.py", "script")])
    (tree / "script.py").write_text("import lazily")
    assert names(load(tree / "script.py", "script")) == ["script.py"]
