"""The build of the wheel brings what the dashboard's pages load, by a lock without addresses."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hatch_build

ROOT = Path(__file__).parents[2]


@pytest.fixture
def assets(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = hatch_build.assets(ROOT)
    monkeypatch.setattr(hatch_build, "assets", lambda root: made)
    monkeypatch.delenv(hatch_build.WITHOUT, raising=False)
    return made


def _hook() -> Any:
    return hatch_build.DashboardHook(str(ROOT), {}, None, None, str(ROOT / "dist"), "wheel")  # type: ignore[arg-type]


def _npm(folder: Path, script: str) -> list[str]:
    path = folder / "npm.py"
    path.write_text(script)
    return [sys.executable, str(path)]


# Makes what `npm ci` would, of nothing.
FAKE = """
import pathlib, sys
assert sys.argv[1] == "ci" and {{"--ignore-scripts", "--fetch-retries=1"}} <= set(sys.argv), sys.argv
assert pathlib.Path("package-lock.json").is_file()
for line in {files!r}:
    path = pathlib.Path("node_modules") / line
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line)
"""


def _files(assets: ModuleType) -> list[str]:
    packages = {**assets.FILES, **assets.TEST_FILES}
    return [f"{name}/{path}" for name, paths in packages.items() for path in (*paths, "LICENSE")]


def test_the_lock_has_no_address_and_every_package_a_digest() -> None:
    text = (ROOT / "service/assets/package-lock.json").read_text()
    assert re.findall(r"\w+://|\"resolved\"", text) == []
    packages = {name: item for name, item in json.loads(text)["packages"].items() if name}
    assert all(item["integrity"].startswith("sha512-") for item in packages.values())
    assert not any(item.get("hasInstallScript") for item in packages.values())


def test_files_come_with_their_licences_and_once(
    assets: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = _npm(tmp_path, FAKE.format(files=_files(assets)))
    monkeypatch.setattr(assets, "npm", lambda: command)
    vendor, beside = tmp_path / "vendor", tmp_path / "tests"
    assets.fetch(vendor)
    names = {path.name for path in vendor.iterdir()}
    assert {"htmx.min.js", "sse.min.js", "xterm.js", "htmx.org.licence.txt", "xterm-xterm.licence.txt"} <= names
    assert "axe.min.js" not in names
    assert assets.is_there(vendor)
    monkeypatch.setattr(assets, "npm", lambda: pytest.fail("they are there"))
    assets.fetch(vendor)
    monkeypatch.setattr(assets, "npm", lambda: command)
    assets.fetch(vendor, beside)
    assert {path.name for path in beside.iterdir()} == {"axe.min.js", "axe-core.licence.txt", "stamp"}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; print('no network'); sys.exit(1)", "no network"),
        (FAKE.format(files=["htmx.org/dist/htmx.min.js"]), "licence|No such file"),
    ],
)
def test_a_failed_fetch_leaves_what_was_there(
    assets: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (vendor / "old.js").write_text("1")
    command = _npm(tmp_path, script)
    monkeypatch.setattr(assets, "npm", lambda: command)
    with pytest.raises((assets.FetchError, OSError), match=said):
        assets.fetch(vendor)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["npm.py", "vendor"]
    assert (vendor / "old.js").exists()


def test_the_hook_fetches_for_wheels_alone(assets: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[int] = []
    monkeypatch.setattr(assets, "fetch", lambda: fetched.append(1))
    for version, env, count in (
        ("editable", "", 0), ("standard", "1", 0), ("standard", "yes", 0), ("standard", "", 1), ("standard", "0", 1),
        ("standard", "False", 1),
    ):  # fmt: skip
        monkeypatch.setenv(hatch_build.WITHOUT, env)
        fetched.clear()
        build_data: dict[str, Any] = {"artifacts": []}
        _hook().initialize(version, build_data)
        assert len(fetched) == len(build_data["artifacts"]) == count


def test_the_hook_says_what_to_do_without_npm(assets: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "is_there", lambda *_: False)
    monkeypatch.setattr(assets, "npm", lambda: None)
    monkeypatch.setattr(hatch_build.shutil, "which", lambda name: None)
    assert _hook().dependencies() == [hatch_build.NODE]
    with pytest.raises(RuntimeError, match=f"Node.js(.|\n)*{hatch_build.WITHOUT}=1"):
        _hook().initialize("standard", {"artifacts": []})
    monkeypatch.setenv(hatch_build.WITHOUT, "0")
    assert _hook().dependencies() == [hatch_build.NODE]
    monkeypatch.setenv(hatch_build.WITHOUT, "1")
    assert _hook().dependencies() == []
