"""What the client is configured with: `config["server_url"]`, `config.get("environment")`."""

from __future__ import annotations

import logging
import os
from typing import Any

from wherry._connection.profiles import Profiles, profiles_path
from wherry._connection.settings import Settings
from wherry.exception import InvalidError

# Settings that the client has, and the keys of a profile.
_OWN = ("server_url", "token_id", "token_secret", "environment", "state_dir", "profile")
# Those of the reference that change nothing here, and what they are where nobody says otherwise.
_OTHERS: dict[str, Any] = {
    "dev_suffix": "",
    "force_build": False,
    "ignore_cache": False,
    "image_builder_version": None,
    "log_pattern": None,
    "loglevel": "WARNING",
    "logs_timeout": 10,
    "max_throttle_wait": None,
    "traceback": False,
}


class Config:
    """The settings in force, by name. (reference: Config)

    A setting is that of a variable WHERRY_<KEY>, else that of the profile in use, else a default. Those that Wherry
    does not know itself, such as "loglevel", have no effect.
    """

    def get(self, key: str, *, profile: str | None = None, use_env: bool = True) -> Any:
        """Return a setting, of that profile if one is named; `use_env=False` leaves out the variables.

        Raises KeyError for a name that is no setting, NotFoundError for a profile that does not exist.
        """
        if key not in _OWN and key not in _OTHERS:
            raise KeyError(key)
        if key in _OTHERS:
            given = os.environ.get(_variable(key), "") if use_env else ""
            return _like(_OTHERS[key], given) if given else _OTHERS[key]
        environ = dict(os.environ) if use_env else _without_settings()
        if profile is not None:
            environ["WHERRY_PROFILE"] = profile
        settings = Settings.from_environment(environ)
        if key in ("token_id", "token_secret"):
            return getattr(settings.remote, key) or None if settings.remote is not None else None
        value = getattr(settings, key)
        return str(value) if key == "state_dir" else value or None

    def __getitem__(self, key: str) -> Any:
        return self.get(key)

    def override_locally(self, key: str, value: str) -> None:
        """Set a setting for this process and those that it starts.

        It counts from the next connection on: call it first. Raises KeyError for a name that is no setting.
        """
        if key not in _OWN and key not in _OTHERS:
            raise KeyError(key)
        os.environ[_variable(key)] = str(value)

    def to_dict(self, *, include_internal: bool = False) -> dict[str, Any]:
        """Return all settings by name, the secret of the token too; `include_internal` makes no difference."""
        return {key: self.get(key) for key in sorted((*_OWN, *_OTHERS))}

    def __repr__(self) -> str:
        shown = {key: value for key, value in self.to_dict().items() if key != "token_secret"}
        return f"Config({shown})"


config = Config()


def __getattr__(name: str) -> Any:
    # Private there; programs put the workspace's name into URLs by it.
    if name == "_profile":
        return config.get("profile") or ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


logger = logging.getLogger("wherry")
user_config_path = str(profiles_path())


def config_profiles() -> list[str]:
    """Return the names of the profiles. (reference: config_profiles)"""
    return list(Profiles(profiles_path()).by_name)


def config_set_active_profile(profile: str) -> None:
    """Use a profile from now on; raise NotFoundError where there is none. (reference: config_set_active_profile)"""
    if not profile:
        raise InvalidError("config_set_active_profile got no name: `wherry profile list` shows those that there are")
    Profiles(profiles_path()).activate(profile)


def _variable(key: str) -> str:
    return f"WHERRY_{key.upper()}"


def _without_settings() -> dict[str, str]:
    own = {_variable(key) for key in (*_OWN, *_OTHERS)}
    return {name: value for name, value in os.environ.items() if name not in own}


def _like(default: Any, given: str) -> Any:
    if isinstance(default, bool):
        return given.strip().lower() not in ("", "0", "false", "no", "off")
    return int(given) if isinstance(default, int) and given.isdigit() else given
