"""What a deploy says of where its code came from."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wherry._publish.deploying import _origin
from wherry._publish.published import Published
from wherry_proto.messages import FunctionInfo


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=n@example.com", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_SHA", "CI_COMMIT_SHA"):
        monkeypatch.delenv(name, raising=False)


def test_the_commit_and_whether_there_are_changes(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert _origin("", tmp_path).commit == "", "nothing is committed yet"
    (tmp_path / "app.py").write_text("1")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    origin = _origin("a tag", tmp_path)
    assert (origin.tag, origin.commit, origin.dirty) == ("a tag", git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "app.py").write_text("2")
    assert _origin("", tmp_path).dirty


@pytest.mark.parametrize("name", ["GITHUB_SHA", "CI_COMMIT_SHA"])
def test_a_checkout_without_git_has_the_commit_that_the_runner_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert _origin("", tmp_path).commit == _origin("", None).commit == ""
    monkeypatch.setenv(name, "0123abc")
    assert _origin("", tmp_path).commit == "0123abc"
    # There is nothing to be compared with.
    assert not _origin("", None).dirty


def test_only_what_a_deploy_has_changed_is_called_created() -> None:
    steps: list[str] = []
    client: Any = SimpleNamespace(listener=SimpleNamespace(screen=SimpleNamespace(step=steps.append)))
    infos = [FunctionInfo(name="price"), FunctionInfo(name="page", web_url="http://page")]
    plan: Any = SimpleNamespace(definitions=[SimpleNamespace(name=one.name, is_class=False) for one in infos])
    ready: Any = None
    published = Published(client, "main", ready, infos)
    published.announce(plan, {"price"})
    published.announce(plan, set())
    assert steps == ["Created function price", "Serving page at http://page", "Serving page at http://page"]
