"""`wherry doctor`, with a service that is fake or not there."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from wherry.cli import doctor
from wherry.cli import main as cli


@pytest.fixture
def examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run it; return the exit code and the checks by name."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("WHERRY_STATE_DIR", str(tmp_path / "s"))
    for name in ("WHERRY_SERVER_URL", "WHERRY_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WHERRY_CONFIG_PATH", str(tmp_path / "none.toml"))

    def run() -> tuple[Any, dict[str, dict[str, Any]]]:
        monkeypatch.setattr("sys.argv", ["wherry", "doctor", "--json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = json.loads(capsys.readouterr().out)
        assert told["ok"] is (ended.value.code in (0, None))
        return ended.value.code, {check["name"]: check for check in told["checks"]}

    return run


def test_it_works_without_a_service_and_without_an_engine(examined: Any) -> None:
    code, checks = examined()
    assert code == 1
    assert checks["Service"]["said"] == "does not run; the next command that needs it starts it"
    assert checks["Engine"]["said"].startswith("Docker does not answer at unix:///")
    assert checks["Engine"]["mend"] == "unset DOCKER_HOST"
    assert {"Client", "State directory", "Disk", "Memory", "Names"} <= set(checks)
    # Nothing was made.
    assert not Path(checks["State directory"]["said"].partition(",")[0]).exists()


def test_lines_say_what_mends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        doctor.Check("Engine", True, "Docker 28"),
        doctor.Check("Clock", False, "is off", "timedatectl set-ntp true"),
    ]
    monkeypatch.setattr(doctor, "_checks", lambda: iter(found))
    monkeypatch.setattr("sys.argv", ["wherry", "doctor"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().out == (
        "✓ Engine: Docker 28\n✗ Clock: is off\n    → timedatectl set-ntp true\n\n1 of 2 is wrong.\n"
    )
    found.pop()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out == "✓ Engine: Docker 28\n\nAll is well.\n"


def test_a_service_elsewhere_is_all_that_is_asked(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_SERVER_URL", "https://127.0.0.1:1")
    code, checks = examined()
    assert code == 1
    assert not checks["Service"]["ok"]
    assert set(checks) == {"Client", "Service", "Names"}


def test_on_macos_only_the_service_elsewhere_is_missed(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    _, checks = examined()
    assert "runs on Linux, and this is macOS" in checks["Installation"]["said"]
    assert "Engine" not in checks


@pytest.mark.parametrize(
    ("found", "ok"), [(["127.0.0.1"], True), (["127.0.0.1", "::1"], True), (["192.0.2.7"], False), ([], False)]
)
def test_names_below_localhost(monkeypatch: pytest.MonkeyPatch, found: list[str], ok: bool) -> None:
    def getaddrinfo(name: str, port: int, type: int) -> list[Any]:
        if not found:
            raise socket.gaierror(-2, "not known")
        return [(0, 0, 0, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    check = doctor._names()
    assert check.ok is ok
    assert bool(check.mend) is not ok
