"""`wherry server purge`: it says what and how much, asks, and leaves nothing. Without an engine, which it says."""

import json
import sys
from pathlib import Path

import pytest

from wherry.cli.main import main


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    state = tmp_path / "state"
    (state / "volumes").mkdir(parents=True)
    (state / "volumes/data").write_bytes(b"x" * 5000)
    (state / "server.lock").touch()
    monkeypatch.setenv("WHERRY_STATE_DIR", str(state))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    return state


def purge(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *options: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["wherry", "server", "purge", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_it_shows_what_goes_and_what_stays(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = purge(capsys, monkeypatch, "--dry-run")
    assert code == 0
    lines = err.splitlines()
    assert lines[:2] == ["This removes:", f"  {state}"]
    assert lines[2].split() == ["volumes", "12", "kB,", "1", "file"]
    assert lines[-2] == "This stays: images (--images removes them)"
    assert lines[-1].startswith("This stays: all that is in the engine: Docker does not answer")
    assert (state / "volumes/data").exists()


def test_without_a_terminal_it_wants_a_yes(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = purge(capsys, monkeypatch)
    assert code == 1
    assert "can't be undone" in err
    assert "--yes" in err
    assert (state / "volumes/data").exists()


def test_a_yes_removes_it_and_the_unit(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("wherry._connection.unit._SYSTEM_UNITS", tmp_path / "units")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "units"))
    from wherry._connection.unit import Unit

    unit = Unit(state)
    unit.path.parent.mkdir(parents=True)
    unit.path.write_text(unit.text())
    code, out, err = purge(capsys, monkeypatch, "-y", "--json")
    # What is in the engine may be there still: it does not answer.
    assert code == 1
    told = json.loads(out)
    assert (told["removed"], told["state_dir"]) == (False, str(state))
    assert [text.partition(": ")[0] for text in told["left"]] == ["what is in the engine"]
    assert "Left: what is in the engine: Docker does not answer" in err
    assert not state.exists()
    assert not unit.path.exists()
    code, out, _ = purge(capsys, monkeypatch)
    assert (code, out) == (0, f"Wherry keeps nothing in {state}.\n")


def test_what_is_left_is_said_with_exit_code_1(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (state / "notes.txt").touch()
    code, _, err = purge(capsys, monkeypatch, "-y")
    assert code == 1
    assert f"Left: {state / 'notes.txt'}: not Wherry's\n" in err
    assert [path.name for path in state.iterdir()] == ["notes.txt"]


def test_a_service_elsewhere_is_not_purged_here(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WHERRY_SERVER_URL", "https://server:7433")
    code, _, err = purge(capsys, monkeypatch, "-y")
    assert code == 1
    assert "https://server:7433 is in use: run it there" in err
    assert (state / "volumes/data").exists()
