"""The service as a unit of systemd: on stand-ins for systemctl and loginctl, which write down what they are told."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.client.test_server import Answers, server, started, state  # noqa: F401 - a fixture
from tests.waiting import wait_until
from wherry._connection import unit as unit_module
from wherry._connection.unit import Unit, as_file, variables_of
from wherry.cli.main import main
from wherry.exception import ConnectionError

# `start` starts what the unit says, as systemd would.
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >>"{told}"
case "$*" in {fails}) echo "no such bus" >&2; exit 1 ;; esac
case "$*" in
*reset-failed*) exit 1 ;;
*start*) eval "setsid $(sed -n 's/^ExecStart=//p' "{units}/wherry-"*.service) >/dev/null 2>&1 &" ;;
esac
"""
LOGINCTL = """#!/bin/sh
echo "loginctl $*" >>"{told}"
case "$*" in
enable-linger*) {enable} ;;
*) cat "{told}.linger" 2>/dev/null || echo Linger=no ;;
esac
"""


class Systemd:
    """What was told to systemd."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.units = folder / "config/systemd/user"
        self._told = folder / "told"

    def make(self, fails: str = "never", lingers: bool = True) -> None:
        enable = f'echo Linger=yes >"{self._told}.linger"' if lingers else "exit 1"
        for name, text in (("systemctl", SYSTEMCTL), ("loginctl", LOGINCTL)):
            path = self.folder / "bin" / name
            path.write_text(text.format(told=self._told, units=self.units, fails=fails, enable=enable))
            path.chmod(0o755)

    def told(self) -> list[str]:
        return self._told.read_text().splitlines() if self._told.exists() else []


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    (tmp_path / "bin").mkdir()
    (tmp_path / "booted").mkdir()
    monkeypatch.setattr(unit_module, "_BOOTED", tmp_path / "booted")
    monkeypatch.setattr(unit_module, "_SYSTEM_UNITS", tmp_path / "system")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    made = Systemd(tmp_path)
    made.make()
    return made


def wherry(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["wherry", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_it_is_installed_started_and_removed(
    systemd: Systemd,
    state: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WHERRY_STATE_DIR", str(state))
    monkeypatch.setenv("WHERRY_HTTP_PORT", "8999")
    monkeypatch.setenv("WHERRY_TOKEN_SECRET", "of-a-client")
    unit = Unit(state)
    # The client asks for frames, the stand-in says nothing: what is started is looked at, not what it answers.
    monkeypatch.setattr("wherry.cli._install.open_transport", lambda settings: Answers())
    monkeypatch.setattr("wherry._connection.server.LocalServer.answers", lambda self: bool(started(state)))
    code, out, err = wherry(capsys, monkeypatch, "server", "install", "--json")
    assert code == 0, err
    said = json.loads(out)
    assert said["path"] == str(systemd.units / unit.name)
    assert (said["scope"], said["installed"], said["lingers"], said["started"]) == ("user", True, True, True)
    assert "WHERRY_HTTP_PORT" in said["variables"]
    assert "WHERRY_TOKEN_SECRET" not in said["variables"]
    assert systemd.told() == [
        "loginctl show-user 1000 -p Linger",
        "loginctl enable-linger 1000",
        "loginctl show-user 1000 -p Linger",
        "systemctl --user show-environment",
        "systemctl --user daemon-reload",
        f"systemctl --user enable --quiet {unit.name}",
        f"systemctl --user reset-failed {unit.name}",
        f"systemctl --user start {unit.name}",
    ]
    assert len(started(state)) == 1
    assert 'WHERRY_HTTP_PORT="8999"\n' in unit.variables_path.read_text()
    assert unit.variables_path.stat().st_mode & 0o777 == 0o600

    # Again: nothing is started twice.
    code, out, _ = wherry(capsys, monkeypatch, "server", "install")
    assert (code, len(started(state))) == (0, 1)
    assert "The service runs already and goes on" in out

    code, out, _ = wherry(capsys, monkeypatch, "server", "uninstall")
    assert code == 0
    assert "does not start with this machine any more. The service that runs goes on" in out
    assert f"systemctl --user disable --quiet {unit.name}" in systemd.told()
    assert not unit.path.exists()
    assert not unit.variables_path.exists()
    code, out, _ = wherry(capsys, monkeypatch, "server", "uninstall", "--json")
    assert (code, json.loads(out)["removed"]) == (0, False)


def test_what_a_client_starts_is_the_unit(systemd: Systemd, state: Path) -> None:  # noqa: F811
    unit = Unit(state)
    unit.install(unit.text(), "")
    assert server(state).ensure(Answers())
    assert systemd.told()[-1] == f"systemctl --user start {unit.name}"
    assert len(started(state)) == 1


def test_where_systemd_can_not_start_it_a_client_does(systemd: Systemd, state: Path) -> None:  # noqa: F811
    unit = Unit(state)
    unit.install(unit.text(), "")
    systemd.make(fails="*start*")
    assert server(state).ensure(Answers())
    wait_until(lambda: len(started(state)) == 1, "a service was started")


def test_without_lingering_it_says_what_root_is_to_run(
    systemd: Systemd,
    state: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    systemd.make(lingers=False)
    monkeypatch.setenv("WHERRY_STATE_DIR", str(state))
    monkeypatch.setattr("wherry.cli._install.user_name", lambda: "anna")
    monkeypatch.setattr("wherry._connection.server.LocalServer.answers", lambda self: True)
    code, _, err = wherry(capsys, monkeypatch, "server", "install")
    assert code == 0
    assert "not at boot, until somebody runs this as root: loginctl enable-linger anna" in err


def test_a_dry_run_writes_nothing_and_shows_no_value(
    systemd: Systemd,
    state: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WHERRY_STATE_DIR", str(state))
    monkeypatch.setenv("WHERRY_DATABASE_PASSWORD", "pa55")
    for option in ("--dry-run", "--print"):
        code, out, _ = wherry(capsys, monkeypatch, "server", "install", option)
        assert code == 0
        assert "[Install]\nWantedBy=default.target" in out
        assert "WHERRY_DATABASE_PASSWORD" in out
        assert "pa55" not in out
    assert not systemd.units.exists()
    assert systemd.told() == []


def test_a_machine_without_systemd_is_told_so(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (systemd.folder / "booted").rmdir()
    code, _, err = wherry(capsys, monkeypatch, "server", "install")
    assert code == 3
    assert err.startswith("Error: this machine does not run systemd, which starts services at boot: ")
    assert "-m wherry server run`" in err


def test_what_systemd_refuses_is_said(
    systemd: Systemd,
    state: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    systemd.make(fails="*enable*")
    monkeypatch.setenv("WHERRY_STATE_DIR", str(state))
    code, _, err = wherry(capsys, monkeypatch, "server", "install")
    assert (code, err) == (3, f"Error: `systemctl --user enable --quiet {Unit(state).name}` failed: no such bus\n")
    assert not Unit(state).is_installed
    assert not Unit(state).variables_path.exists()


def test_a_service_elsewhere_is_not_installed_here(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WHERRY_SERVER_URL", "unix:///run/other.sock")
    for command in ("install", "uninstall"):
        code, _, err = wherry(capsys, monkeypatch, "server", command)
        assert code == 1
        assert "unix:///run/other.sock is in use" in err


def test_root_has_a_unit_of_the_system(systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    unit = Unit(tmp_path / "state")
    assert unit.path.parent == tmp_path / "system"
    assert "After=network-online.target docker.service\n" in unit.text()
    assert "WantedBy=multi-user.target\n" in unit.text()
    assert unit.linger()
    unit.install(unit.text(), "")
    assert systemd.told() == ["systemctl daemon-reload", f"systemctl enable --quiet {unit.name}"]


def test_the_usual_directory_has_the_short_name(
    systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("WHERRY_STATE_DIR", str(tmp_path / "elsewhere"))
    assert Unit(tmp_path / "wherry").name == "wherry.service"
    assert Unit(tmp_path / "elsewhere").name != "wherry.service"


def test_the_unit_of_another_directory_is_left_alone(
    systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which directory is the usual one depends on HOME and XDG_STATE_HOME, as after `su`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "first"))
    first = Unit(tmp_path / "first/wherry")
    first.install(first.text(), "")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "second"))
    second = Unit(tmp_path / "second/wherry")
    assert second.name != first.name
    assert not second.is_installed
    assert not second.uninstall()
    second.install(second.text(), "")
    assert (first.path.read_text(), second.path.read_text()) == (first.text(), second.text())
    # One whose directory only begins so is another, too.
    assert not Unit(tmp_path / "second/wher").is_installed


def test_where_systemd_refuses_to_forget_it_nothing_is_removed(systemd: Systemd, tmp_path: Path) -> None:
    unit = Unit(tmp_path / "state")
    unit.install(unit.text(), as_file({"WHERRY_SECRET_KEY": "the only copy"}))
    systemd.make(fails="*disable*")
    with pytest.raises(ConnectionError, match="no such bus"):
        unit.uninstall()
    assert unit.is_installed
    assert unit.variables() == {"WHERRY_SECRET_KEY": "the only copy"}


def test_what_a_unit_was_given_is_read_again(systemd: Systemd, tmp_path: Path) -> None:
    unit = Unit(tmp_path / "state 100%$x")
    assert (unit.config, unit.variables()) == (None, {})
    given = {"WHERRY_VOLUMES_DIR": '/a "b" $c `d` \\', "PATH": "/bin:/usr/bin"}
    unit.install(unit.text(tmp_path / "it's 5%.yaml"), as_file(given))
    assert (unit.config, unit.variables()) == (tmp_path / "it's 5%.yaml", given)


def test_no_sign_in_a_path_means_something_to_systemd(systemd: Systemd, tmp_path: Path) -> None:
    text = Unit(tmp_path / 'a b%h$HOME"\\').text(tmp_path / "it's.yaml")
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    words = [word.replace("$$", "$").replace("%%", "%") for word in shlex.split(line.removeprefix("ExecStart="))]
    assert words[-4:] == ["--state-dir", str(tmp_path / 'a b%h$HOME"\\'), "--config", str(tmp_path / "it's.yaml")]
    assert f'EnvironmentFile=-{tmp_path}/a b%%h$HOME"\\/server.env\n' in text


def test_variables_are_those_that_the_service_reads() -> None:
    kept = {
        "WHERRY_HTTP_PORT": "1", "DOCKER_HOST": "unix:///x", "HTTPS_PROXY": "http://p", "no_proxy": "h", "PATH": "/bin",
        "PIP_INDEX_URL": "https://i", "AWS_REGION": "r", "SSL_CERT_FILE": "/c",
    }  # fmt: skip
    others = {
        "WHERRY_STATE_DIR": "/s", "WHERRY_SERVER_URL": "u", "WHERRY_TOKEN_SECRET": "t", "WHERRY_CONTAINER_ID": "co-1",
        "WHERRY_PROFILE": "p", "HOME": "/root", "LS_COLORS": "x", "MY_PATH": "/x",
    }  # fmt: skip
    assert variables_of({**kept, **others}) == kept


def test_values_are_written_as_systemd_reads_them() -> None:
    assert as_file({"A": 'say "$x" `y` \\ %h', "B": "two\nlines"}).split("\n", 1)[1] == (
        'A="say \\"\\$x\\" \\`y\\` \\\\ %h"\nB="two\nlines"\n'
    )


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="this host has no systemd-analyze; the unit's lines are tested anyway",
)
@pytest.mark.parametrize("name", ["state", 'a "b" %h $HOME'])
@pytest.mark.parametrize("uid", [0, 1000])
def test_systemd_finds_nothing_wrong_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, uid: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    path = tmp_path / "wherry-test.service"
    path.write_text(Unit(tmp_path / name).text(tmp_path / "settings.yaml"))
    checked = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
