"""The service's settings: a YAML file, and WHERRY_… variables that go before it. docs/configuration.md is made of this.

A key such as `tls.certificate` is `certificate:` below `tls:` in the file, and WHERRY_TLS_CERTIFICATE in the
environment.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

import yaml

from wherry_service.errors import InvalidRequest


class SettingsError(InvalidRequest):
    """A setting is wrong; the message says which, where it comes from, and what is allowed."""


def _key(key: str, default: Any, doc: str, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"key": key, "doc": doc, "choices": choices})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set."""

    state_dir: Path | None = _key(
        "state_dir",
        None,
        "Where the service keeps everything. Unset: `~/.local/state/wherry`, or below `XDG_STATE_HOME`.",
    )
    listen: str = _key(
        "listen.address",
        "",
        "`HOST:PORT` to listen on for TCP, for example `0.0.0.0:7433`. Unset: unix sockets alone, for this user.",
    )
    public_url: str = _key(
        "listen.public_url",
        "",
        "The address that `wherry token new` tells clients to use. Unset: made of `listen.address`.",
    )
    tls: str = _key(
        "tls.mode",
        "files",
        "`files`: the certificate and the key below. `dev`: a certificate that the service makes, and clients pin. "
        "`off`: no TLS, only for a reverse proxy in front that has it.",
        ("files", "dev", "off"),
    )
    tls_certificate: Path | None = _key("tls.certificate", None, "PEM file: the certificate, then its chain.")
    tls_key: Path | None = _key("tls.key", None, "PEM file: the certificate's private key, without a password.")
    database_url: str = _key(
        "database.url",
        "",
        "`postgresql://USER:PASSWORD@HOST/NAME`; best as a variable, so that no file holds the password. "
        "Unset: SQLite in the state directory.",
    )
    log_level: str = _key(
        "log.level", "info", "`debug`, `info`, `warning` or `error`.", ("debug", "info", "warning", "error")
    )
    failed_logins: int = _key(
        "limits.failed_logins",
        10,
        "How often an address may fail to log in within a minute; then it is refused unheard for the rest of it.",
    )
    stop_grace_s: float = _key(
        "stop.grace_s", 10.0, "Seconds that running inputs get to end after SIGTERM; a second signal ends them at once."
    )

    def checked(self) -> "Settings":
        """Return these settings if they go together; raise `SettingsError` otherwise."""
        if not self.listen:
            return self
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
            raise SettingsError(f"listen.address is {self.listen!r}: write HOST:PORT, for example 0.0.0.0:7433")
        if self.tls == "files":
            for key, path in (("tls.certificate", self.tls_certificate), ("tls.key", self.tls_key)):
                if path is None:
                    raise SettingsError(
                        f"listen.address wants TLS, and {key} is not set: name the PEM file, or set tls.mode to dev "
                        "to have a certificate made"
                    )
                if not os.access(path, os.R_OK):
                    raise SettingsError(f"{key} is {str(path)!r}, which is not there or can't be read")
        if self.failed_logins < 1:
            raise SettingsError(f"limits.failed_logins is {self.failed_logins}: it is at least 1")
        if self.stop_grace_s < 0:
            raise SettingsError(f"stop.grace_s is {self.stop_grace_s:g}: it is at least 0")
        return self


FIELDS = {item.metadata["key"]: item for item in fields(Settings)}


def variable(key: str) -> str:
    """Return the environment variable of a key."""
    return "WHERRY_" + key.upper().replace(".", "_")


def load(path: Path | None, environ: Mapping[str, str] = os.environ, **given: Any) -> Settings:
    """Return the settings of a file (None: no file), the environment before it, and `given`, by key, before both.

    Raises `SettingsError` for a file that can't be read, unknown keys, wrong values.
    """
    values: dict[str, Any] = {}
    if path is not None:
        for key, value in _file(path).items():
            values[FIELDS[key].name] = _value(key, value, str(path))
    for key, item in FIELDS.items():
        if text := environ.get(variable(key), ""):
            values[item.name] = _value(key, text, variable(key))
    for key, value in given.items():
        if value is not None:
            values[FIELDS[key].name] = _value(key, value, "the command line")
    return Settings(**values).checked()


def _file(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text())
    except OSError as error:
        raise SettingsError(f"the settings in {path} can't be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{path} holds a {type(tree).__name__}: write `key: value` lines")
    return dict(_flat(tree, "", path))


def _flat(tree: dict[Any, Any], above: str, path: Path) -> "list[tuple[str, Any]]":
    found: list[tuple[str, Any]] = []
    groups = {key.rpartition(".")[0] for key in FIELDS} - {""}
    for name, value in tree.items():
        key = f"{above}{name}"
        if key in groups and (isinstance(value, dict) or value is None):
            found += _flat(value or {}, f"{key}.", path)
        elif key in FIELDS:
            if value is not None:
                found.append((key, value))
        elif key in groups:
            keys = ", ".join(sorted(known for known in FIELDS if known.startswith(f"{key}.")))
            raise SettingsError(f"{path}: {key} is a group of keys ({keys}), not a value")
        else:
            near = difflib.get_close_matches(key, [*FIELDS, *groups], 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(FIELDS)}"
            raise SettingsError(f"{path} has the unknown key {key}: {hint}")
    return found


def _value(key: str, value: Any, where: str) -> Any:
    item = FIELDS[key]
    if value is False and "off" in item.metadata["choices"]:
        value = "off"  # YAML's reading of a bare `off`
    kind: Any = item.type
    kind = next((one for one in get_args(kind) if one is not type(None)), kind)
    try:
        if isinstance(value, bool | dict | list):
            raise TypeError
        result = kind(str(value)) if kind is not str else str(value)
    except (TypeError, ValueError):
        names = {int: "a whole number", float: "a number", str: "text", Path: "a path"}
        raise SettingsError(f"{where}: {key} is {value!r}, and should be {names[kind]}") from None
    choices = item.metadata["choices"]
    if choices and result not in choices:
        raise SettingsError(f"{where}: {key} is {value!r}, and should be one of {', '.join(choices)}")
    return result
