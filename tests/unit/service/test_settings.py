"""The service's settings: file, environment, command line; what is wrong is told with its place."""

import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema
import pytest
import yaml

from docs import make_configuration, make_settings_schema
from wherry_service.images.settings import ImageSettings
from wherry_service.ingress.settings import HttpSettings
from wherry_service.sandboxes.settings import SandboxSettings
from wherry_service.settings import FIELDS, Settings, load, variable
from wherry_service.settings_key import SettingsError, read_size


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


def test_a_value_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    environ = {"WHERRY_DATABASE_PASSWORD_FILE": str(tmp_path / "password"), "WHERRY_PROXY_TOKENS_FILE": "/dev/null"}
    assert load(None, environ).database_password == "s3cret"
    # What is given outright goes first.
    assert load(None, environ | {"WHERRY_DATABASE_PASSWORD": "other"}).database_password == "other"
    with pytest.raises(SettingsError, match=r"WHERRY_DATABASE_URL_FILE is '/nowhere', which can't be read"):
        load(None, {"WHERRY_DATABASE_URL_FILE": "/nowhere"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("database: {url: 'mysql://a:s3cret@b/c'}", r"database.url is no address .*: write postgresql://"),
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


def test_what_is_the_rooms_own_reaches_them_from_the_file_and_the_environment(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "workspace: acme\nhttp: {port: 80, trusted_proxies: [10.0.0.0/8, '::1'], proxy_tokens: ['a:b', 'c:d']}\n"
        "images: {keep_days: 2.5}\nsandbox: {pids: 99}\nlogs: {max_bytes: 2MiB}\nvolumes: {dir: /v}\n",
    )
    settings = load(path, {"WHERRY_SANDBOX_PIDS": "77", "WHERRY_IMAGES_PYTHON": "python:{version}"})
    http = HttpSettings.from_environment(settings.rooms)
    assert (http.workspace, http.port, http.proxy_tokens) == ("acme", 80, ("a:b", "c:d"))
    assert [str(network) for network in http.trusted] == ["10.0.0.0/8", "::1/128"]
    images = ImageSettings.from_environment(settings.rooms)
    assert (images.keep_days, images.python) == (2.5, "python:{version}")
    assert SandboxSettings.from_environment(settings.rooms).pids_limit == 77
    assert (settings.logs_max_bytes, settings.volumes_dir) == (2 << 20, Path("/v"))


def test_the_defaults_on_the_page_are_the_rooms_own() -> None:
    written = {variable(key): str(item.default) for key, item in FIELDS.items() if not item.name and item.default != ""}
    for room in (HttpSettings, ImageSettings, SandboxSettings):
        assert room.from_environment(written) == room.from_environment({})


def test_what_a_room_refuses_is_told_with_its_place_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "sandbox: {pids: 1}\n")
    with tempfile.TemporaryDirectory(prefix="wherry-") as state_dir:
        command = [sys.executable, "-m", "wherry_service", "--config", str(path), "--state-dir", state_dir]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr == f"wherry: {path}: sandbox.pids is '1': it must be a whole number from 16 to 1048576\n"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("500000", 500_000),
        ("10B", 10),
        ("200MB", 200_000_000),
        ("2GiB", 2 << 30),
        (" 3 k ", 3000),
        ("1Ti", 1 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert read_size("X", text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1", "1.5GB", "3 XB", "MB"])
def test_what_is_no_size_is_told_with_its_name(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^X is .*, which is no size"):
        read_size("X", text)


def test_a_service_with_a_wrong_setting_says_so_and_does_not_start(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "wherry_service", "--state-dir", str(tmp_path)],
        env={"WHERRY_LOGS_MAX_BYTES": "lots"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        "wherry: WHERRY_LOGS_MAX_BYTES is 'lots', which is no size: write bytes, or for example 200MB or 2GiB\n"
    )
    assert not list(tmp_path.iterdir())


# The JSON schema


def fits(text: str) -> bool:
    try:
        jsonschema.validate(yaml.safe_load(text), make_settings_schema.schema())
    except jsonschema.ValidationError:
        return False
    return True


def loads(tmp_path: Path, text: str) -> bool:
    try:
        load(write(tmp_path, text), {})
    except SettingsError:
        return False
    return True


def test_the_schema_that_is_shipped_is_that_of_the_settings() -> None:
    assert make_settings_schema.PLACE.read_text() == make_settings_schema.text()
    jsonschema.Draft202012Validator.check_schema(make_settings_schema.schema())
    command = [sys.executable, "-m", "wherry.cli.main", "config", "schema"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown == make_settings_schema.text()


@pytest.mark.parametrize("key", FIELDS)
def test_the_schema_and_the_loader_agree_about_each_key(tmp_path: Path, key: str) -> None:
    item = FIELDS[key]
    *above, name = key.split(".")
    good = {
        "text": ["a: b", "''", "7"],
        "path": ["/a"],
        "whole": ["7"],
        "number": ["7", "0.5"],
        "size": ["1000", "2GiB", "200 MB"],
        "list": ["[a, b]", "a,b", "[1]"],
        "mapping": ["{a: b}", "{a: 1}"],
        "switch": ["on", "off", "true", "'127.0.0.1:9464'"],
    }[item.kind]
    bad = {
        "text": ["[a]", "{a: b}", "true"],
        "path": ["[a]"],
        "whole": ["many", "0.5", "[7]"],
        "number": ["many", "[7]", "true"],
        "size": ["large", "[7]", "true"],
        "list": ["{a: b}", "true"],
        "mapping": ["[a]", "{a: [b]}"],
        "switch": ["[a]", "{a: b}"],
    }[item.kind]
    if item.choices:
        good, bad = list(item.choices), ["nonsense", "[a]"]

    def made(value: str) -> str:
        text = f"{name}: {value}\n" if value != "a: b" else f"{name}: 'a: b'\n"
        for group in reversed(above):
            text = f"{group}:\n" + "".join(f"  {line}\n" for line in text.splitlines())
        return text

    for value in [*good, "null", ""]:
        assert fits(made(value)), value
    for value in bad:
        assert not fits(made(value)), value
        assert not loads(tmp_path, made(value)), value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "listen:\n",
        "tls: {mode: off}",
        "log: {level: debug, format: json, max_bytes: 5MB}",
        "state_dir: /a",
        "stop:\n  grace_s: 3",
    ],
)
def test_what_the_loader_takes_fits_the_schema(tmp_path: Path, text: str) -> None:
    assert loads(tmp_path, text)
    assert fits(text)


@pytest.mark.parametrize("text", ["lissten: {}", "listen: {adress: a}", "listen: 7433", "- a", "tls: {mode: strict}"])
def test_what_does_not_fit_the_loader_does_not_take(tmp_path: Path, text: str) -> None:
    assert not loads(tmp_path, text)
    assert not fits(text)
