"""The service's settings: file, environment, command line; what is wrong is told with its place."""

import subprocess
import sys
from pathlib import Path

import pytest

from docs import make_configuration
from wherry_service.settings import Settings, SettingsError, load


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "wherry.yaml"
    path.write_text(text)
    return path


def test_the_environment_goes_before_the_file_and_the_command_line_before_both(tmp_path: Path) -> None:
    path = write(tmp_path, "listen: {address: '0.0.0.0:1'}\ntls:\n  mode: off\nstop: {grace_s: 3}\nlog:\n")
    assert load(path, {}).listen == "0.0.0.0:1"
    assert load(path, {}).tls == "off"
    assert load(path, {}).stop_grace_s == 3.0
    both = {"WHERRY_LISTEN_ADDRESS": "0.0.0.0:2", "WHERRY_STOP_GRACE_S": "4.5", "WHERRY_SERVER_URL": "is the client's"}
    assert load(path, both).listen == "0.0.0.0:2"
    assert load(path, both).stop_grace_s == 4.5
    assert load(path, both, **{"listen.address": "0.0.0.0:3", "state_dir": None}).listen == "0.0.0.0:3"
    assert load(None, {}) == Settings()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lissten:\n  address: a:1", "unknown key lissten: did you mean listen"),
        ("listen:\n  adress: a:1", r"unknown key listen.adress: did you mean listen.address\?"),
        ("listen: 7433", r"listen is a group of keys \(listen.address"),
        ("listen: {address: 7433}\ntls: {mode: dev}", "write HOST:PORT"),
        ("listen: {address: 'a:99999'}\ntls: {mode: dev}", "write HOST:PORT"),
        ("listen: {address: 'a:1'}", "tls.certificate is not set"),
        ("listen: {address: 'a:1'}\ntls: {certificate: /nowhere, key: /nowhere}", "tls.certificate is '/nowhere'"),
        ("tls: {mode: on}", "tls.mode is True"),
        ("tls: {mode: strict}", "should be one of files, dev, off"),
        ("limits: {failed_logins: many}", "limits.failed_logins is 'many', and should be a whole number"),
        ("listen: {address: 'a:1'}\ntls: {mode: dev}\nlimits: {failed_logins: 0}", "at least 1"),
        ("- a", "holds a list"),
        ("a: [", "is not YAML"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load(write(tmp_path, text), {})


def test_a_file_that_is_not_there_is_told_without_a_stack(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wherry_service", "--config", str(tmp_path / "none.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"wherry: the settings in {tmp_path / 'none.yaml'} can't be read: No such file or directory\n"


def test_the_page_is_what_the_settings_say() -> None:
    assert make_configuration.PAGE.read_text() == make_configuration.page()
