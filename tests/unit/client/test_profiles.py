"""Profiles and what is in force: variables, then the profile, and no secret sent astray."""

import stat
from pathlib import Path

import pytest

from wherry._connection.profiles import Profiles
from wherry._connection.settings import Settings
from wherry.exception import InvalidError, NotFoundError

WORK = {"server_url": "https://w.example:7433", "token_id": "tk-1", "token_secret": 's"\\é', "environment": "dev"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wherry.toml"


def test_profiles_are_kept_for_their_owner_alone(path: Path) -> None:
    Profiles(path).set("work", {**WORK, "certificate": "a\nb\n"})
    Profiles(path).set("a b", {"server_url": "https://x"})
    again = Profiles(path)
    assert again.active == "work"
    assert again.get("work") == {**WORK, "certificate": "a\nb\n"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again.activate("a b")
    Profiles(path).remove("a b")
    assert Profiles(path).active == ""
    with pytest.raises(NotFoundError, match="no profile 'nope'; it has: work"):
        Profiles(path).get("nope")
    with pytest.raises(InvalidError, match="can't be a profile's name"):
        again.set("active", WORK)


def test_variables_go_before_the_profile(path: Path) -> None:
    Profiles(path).set("work", WORK)
    environ = {"WHERRY_CONFIG_PATH": str(path)}
    settings = Settings.from_environment(environ)
    assert settings.remote is not None
    assert (settings.profile, settings.environment) == ("work", "dev")
    assert (settings.remote.address, settings.remote.token_id) == ("w.example:7433", "tk-1")
    assert Settings.from_environment({**environ, "WHERRY_ENVIRONMENT": "main"}).environment == "main"
    assert Settings.from_environment({**environ, "WHERRY_SERVER_URL": "unix:///w.sock"}).remote is None
    with pytest.raises(NotFoundError, match="no profile 'other'"):
        Settings.from_environment({**environ, "WHERRY_PROFILE": "other"})


def test_a_profiles_secret_is_not_sent_to_another_server(path: Path) -> None:
    Profiles(path).set("work", WORK)
    environ = {"WHERRY_CONFIG_PATH": str(path), "WHERRY_SERVER_URL": "https://elsewhere.example"}
    remote = Settings.from_environment(environ).remote
    assert remote is not None
    assert (remote.address, remote.token_id, remote.token_secret) == ("elsewhere.example:443", "", "")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://w.example:1", "no TLS"),
        ("https://", "not of the form"),
        ("https://a:b", "not of the form"),
        ("https://a/b:1", "not of the form"),
        ("ftp://a", "https://HOST:PORT, or unix:///"),
    ],
)
def test_what_is_no_url_is_told(path: Path, url: str, told: str) -> None:
    with pytest.raises(InvalidError, match=told):
        Settings.from_environment({"WHERRY_CONFIG_PATH": str(path), "WHERRY_SERVER_URL": url})


@pytest.mark.parametrize("text", ["nonsense", "a = 1", "[a]\nurl = 'x'", "[a]\nserver_url = 1"])
def test_a_broken_file_is_told(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidError, match=r"wherry\.toml"):
        Profiles(path)
