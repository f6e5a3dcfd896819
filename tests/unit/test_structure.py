"""ci/structure.py sees what it is there for: circles, imports upward, what is too large."""

import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "ci" / "structure.py"


@pytest.fixture
def structure() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("structure", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["structure"] = module  # dataclasses look it up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["structure"]


def house(tmp_path: Path, files: dict[str, str]) -> Path:
    folder = tmp_path / "house"
    for name, text in {"__init__.py": "", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    "back",
    [
        "from house.a import f",
        "from house import a",
        "import house.a",
        "from . import a",
        "from .a import f",
        "def g():\n    from house.a import f",
        "if TYPE_CHECKING:\n    from house.a import f",
        "class C:\n    from house import a",
        "from house import other, a",
    ],
)
def test_a_circle_is_one_whatever_kind_of_import_closes_it(structure: Any, tmp_path: Path, back: str) -> None:
    rooms = structure.rooms_of(house(tmp_path, {"a.py": "from house.b import x", "b.py": back}))
    assert structure.circles_of(rooms) == [["house.a", "house.b"]]


def test_circles_by_way_of_others_and_through_folders(structure: Any, tmp_path: Path) -> None:
    files = {
        "a.py": "from house.inner.b import x",
        "inner/__init__.py": "",
        "inner/b.py": "from .c import x",
        "inner/c.py": "from ..a import x",
        "d.py": "from house import a",
    }
    rooms = structure.rooms_of(house(tmp_path, files))
    assert structure.circles_of(rooms) == [["house.a", "house.inner.b", "house.inner.c"]]


def test_no_circle_and_as_many_floors_as_stand_above_each_other(structure: Any, tmp_path: Path) -> None:
    files = {"a.py": "from house import b, c", "b.py": "from house.c import f", "c.py": "import os", "d.py": ""}
    rooms = structure.rooms_of(house(tmp_path, files))
    assert structure.circles_of(rooms) == []
    assert structure.floors_of(rooms) == 3


def test_imports_upward_go_against_the_layers_that_are_told(structure: Any, tmp_path: Path) -> None:
    files = {"top.py": "from house import low", "low/__init__.py": "", "low/x.py": "import house.top", "beside.py": ""}
    rooms = structure.rooms_of(house(tmp_path, files))
    settings = {"containers": ["house"], "type": "layers", "layers": ["top", "beside : low"]}
    layers = structure.layers_of("house", {"tool": {"importlinter": {"contracts": [settings]}}})
    assert layers == [["house.top"], ["house.beside", "house.low"]]
    assert structure.upward_of(rooms, layers) == [("house.low.x", "house.top")]


def class_of(name: str, methods: int, attributes: int) -> str:
    body = "".join(f"        self.a{number} = 0\n" for number in range(attributes))
    more = "".join(f"    def m{number}(self): ...\n" for number in range(methods - 1))
    return f"class {name}:\n    def __init__(self):\n        pass\n{body}{more}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (class_of("C", 30, 15), 0),
        (class_of("C", 31, 0), 1),
        (class_of("C", 1, 16), 1),
        (f"# large: it is one thing\n{class_of('C', 31, 16)}", 0),
        (f"# large: it is one thing,\n# and says so\n@decorated\n{class_of('C', 31, 16)}", 0),
        (f"# as large as it is\n{class_of('C', 31, 16)}", 1),
        (f"class C:\n    __slots__ = {tuple(f'a{number}' for number in range(16))}\n", 1),
        ("\n" * 500, 0),
        ("\n" * 501, 1),
        ("# large: a table\n" + "\n" * 501, 0),
        ("\n" * 10 + "# large: told too late\n" + "\n" * 501, 1),
    ],
)
def test_what_is_large_says_why(structure: Any, tmp_path: Path, text: str, told: int) -> None:
    assert len(structure.too_large(structure.rooms_of(house(tmp_path, {"a.py": text})))) == told


def test_this_house(structure: Any) -> None:
    for folder in structure.PACKAGES.values():
        rooms = structure.rooms_of(folder)
        assert structure.circles_of(rooms) == []
        assert structure.too_large(rooms) == []


@pytest.mark.parametrize("package", ["wherry_service", "wherry"])
def test_the_floors_that_contributing_draws_are_those_of_the_layers(structure: Any, package: str) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = structure.layers_of(package, settings)
    rank = {name.partition(".")[2]: number for number, row in enumerate(layers) for name in row}
    pictures = re.findall(r"^```\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE)
    (picture,) = [text for text in pictures if "_define" in text] if package == "wherry" else pictures[:1]
    # Right of it stand the words that explain it.
    drawn = [line[:29].split() for line in picture.splitlines()]
    found = [[rank[name] for name in row if name in rank] for row in drawn]
    order = [number for row in found for number in row]
    assert order == sorted(order)
    folders = {name for name in rank if (structure.PACKAGES[package] / name).is_dir()}
    assert folders <= {name for row in drawn for name in row}
