"""Which files are shipped."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from wherry._source import source_files


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
    from wherry import _source

    assert set(names) <= _source._imports(tmp_path / "everywhere.py")
