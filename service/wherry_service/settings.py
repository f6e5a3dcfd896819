"""The service's settings: a YAML file, and WHERRY_… variables that go before it. The page about them is made of it."""

# A key such as `tls.certificate` is `certificate:` below `tls:` in the file, and WHERRY_TLS_CERTIFICATE as a variable.
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from wherry_service.settings_key import Key, SettingsError
from wherry_service.settings_of_rooms import ROOMS

MIN_SOURCES_DAYS = 0.25
_DATABASES = ("postgresql", "postgres", "postgresql+psycopg", "sqlite")


def _key(key: str, default: Any, doc: str, kind: str = "text", choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"key": Key(key, default, doc, kind, choices)})


# large: every setting there is, read once.
@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set."""

    state_dir: Path | None = _key(
        "state_dir",
        None,
        "Where the service keeps everything. Unset: `~/.local/state/wherry`, or below `XDG_STATE_HOME`.",
        "path",
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
        choices=("files", "dev", "off"),
    )
    tls_certificate: Path | None = _key("tls.certificate", None, "PEM file: the certificate, then its chain.", "path")
    tls_key: Path | None = _key("tls.key", None, "PEM file: the certificate's private key, without a password.", "path")
    database_url: str = _key(
        "database.url",
        "",
        "`postgresql://USER:PASSWORD@HOST/NAME`; best as a variable, so that no file holds the password. "
        "Unset: SQLite in the state directory.",
    )
    database_password: str = _key(
        "database.password", "", "The password for `database.url`, if that has none; best in a file of its own."
    )
    volumes_dir: Path | None = _key(
        "volumes.dir", None, "Where volumes are stored. Unset: `volumes` in the state directory.", "path"
    )
    volumes_driver: str = _key(
        "volumes.driver",
        "",
        "Docker's driver that gives containers their volumes, such as `local`. Unset: containers get the directories "
        "in `volumes.dir`. If it is set, the service itself reads and writes the same files in `volumes.dir`.",
    )
    volumes_options: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "key": Key(
                "volumes.options",
                "",
                'That driver\'s options: `{type: nfs, o: "addr=10.0.0.5,rw", device: ":/export/{volume}"}`, '
                "`{volume}` being the volume's directory below `volumes.dir`.",
                "mapping",
            )
        },
    )
    sources_keep_days: float = _key(
        "sources.keep_days",
        7.0,
        "Days that a source file is kept after nothing uses it and no client asks for it; 0 keeps all.",
        "number",
    )
    log_level: str = _key(
        "log.level",
        "info",
        "How much the service's own log says: `debug`, `info`, `warning` or `error`.",
        choices=("debug", "info", "warning", "error"),
    )
    log_format: str = _key(
        "log.format",
        "text",
        "How its lines look: `text`, or `json` with `at`, `level`, `logger`, `text` and `traceback`.",
        choices=("text", "json"),
    )
    log_max_bytes: int = _key(
        "log.max_bytes",
        20 << 20,
        "How large the file of the service's own log, `server.log`, becomes before a new one is begun. Four older ones "
        "are kept. `0`: without limit.",
        "size",
    )
    logs_max_bytes: int = _key(
        "logs.max_bytes", 1 << 30, "Disk for what containers print, such as `200MB` or `2GiB`.", "size"
    )
    failed_logins: int = _key(
        "limits.failed_logins",
        10,
        "Failed log-ins of one address within a minute; after that it is refused for the rest of the minute.",
        "whole",
    )
    containers_per_core: int = _key(
        "limits.containers_per_core",
        12,
        "Containers without `cpu=` that run for each core, also when the processors are busy. More start while less "
        "than 75 % of the processors' time is used, because then the running ones are idle or wait, and while there is "
        "memory.",
        "whole",
    )
    starts_at_once: int = _key(
        "limits.starts_at_once", 4, "Containers that the engine is asked to start at the same time.", "whole"
    )
    sample_s: float = _key(
        "containers.sample_seconds",
        10.0,
        "Seconds between two looks at what containers use of processors and memory; 0: never.",
        "number",
    )
    stop_grace_s: float = _key(
        "stop.grace_s",
        10.0,
        "Seconds that running inputs get to end after SIGTERM; a second signal ends them at once.",
        "number",
    )
    # The rooms' settings, as the variables that they read.
    rooms: Mapping[str, str] = field(default_factory=dict)
    # Of those of them that a file gave, how the user knows them: "wherry.yaml: images.keep_days".
    places: Mapping[str, str] = field(default_factory=dict)

    def _check_volumes(self) -> None:
        if self.volumes_options and not self.volumes_driver:
            raise SettingsError("volumes.options is set, and volumes.driver is not: name the driver, such as local")
        if not self.volumes_driver:
            return
        if self.volumes_dir is None:
            raise SettingsError(
                f"volumes.driver is {self.volumes_driver!r}, and volumes.dir is not set: name the directory of this "
                "host in which the same files are, such as the mounted export"
            )
        if not self.volumes_dir.is_absolute():
            raise SettingsError(f"volumes.dir is {str(self.volumes_dir)!r}: with volumes.driver it begins with /")
        if not any("{volume}" in text for text in self.volumes_options.values()):
            raise SettingsError(
                "volumes.options has no {volume}: one of the options must say which volume it is, such as "
                'device: ":/export/{volume}"; otherwise all would have the same files'
            )

    def told(self, error: Exception) -> str:
        """Return what a room says about one of its variables, in terms of the file it came from."""
        text = str(error)
        for name, place in self.places.items():
            if text.startswith(f"{name} "):
                return place + text.removeprefix(name)
        return text

    def checked(self) -> "Settings":
        """Return these settings if they go together; raise `SettingsError` otherwise."""
        scheme = self.database_url.partition("://")[0]
        if self.database_url and scheme not in _DATABASES:
            # Not the value: there may be a password in it.
            raise SettingsError(
                "database.url is no address of a database that is known here: write postgresql://USER@HOST/NAME"
            )
        self._check_volumes()
        if self.failed_logins < 1:
            raise SettingsError(f"limits.failed_logins is {self.failed_logins}: it is at least 1")
        for key, value in (
            ("limits.containers_per_core", self.containers_per_core),
            ("limits.starts_at_once", self.starts_at_once),
        ):
            if value < 1:
                raise SettingsError(f"{key} is {value}: it is at least 1")
        if not (self.sources_keep_days == 0 or MIN_SOURCES_DAYS <= self.sources_keep_days <= 1e6):
            raise SettingsError(
                f"sources.keep_days is {self.sources_keep_days:g}: it is 0, which keeps all, or at least "
                f"{MIN_SOURCES_DAYS:g}, since a client that has sent its source may wait for images"
            )
        if self.sample_s != 0 and not 1 <= self.sample_s <= 3600:
            raise SettingsError(f"containers.sample_seconds is {self.sample_s:g}: it is 0, for never, or 1 to 3600")
        if not 0 <= self.stop_grace_s <= 1e6:
            raise SettingsError(f"stop.grace_s is {self.stop_grace_s:g}: it is at least 0")
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
        return self


def _fields() -> dict[str, Key]:
    own = [(item.name, item.metadata["key"]) for item in fields(Settings) if item.metadata]
    keys = [replace(key, name=name) for name, key in own]
    return {key.key: key for key in (*keys, *ROOMS)}


FIELDS = _fields()


def variable(key: str) -> str:
    """Return the environment variable of a key."""
    return FIELDS[key].variable or "WHERRY_" + key.upper().replace(".", "_")


def load(path: Path | None, environ: Mapping[str, str] = os.environ, **given: Any) -> Settings:
    """Return the settings of a file (None: no file), the environment before it, and `given`, by key, before both.

    Raises `SettingsError` for a file that can't be read, unknown keys, wrong values.
    """
    values: dict[str, Any] = {}
    rooms: dict[str, str] = {}
    places: dict[str, str] = {}

    def put(key: str, value: Any, place: str) -> None:
        checked = FIELDS[key].read(value, place)
        if FIELDS[key].name:
            values[FIELDS[key].name] = checked
        else:
            rooms[variable(key)] = str(checked)

    if path is not None:
        for key, value in _file(path).items():
            put(key, value, f"{path}: {key}")
            places[variable(key)] = f"{path}: {key}"
    for key in FIELDS:
        if found := _given(variable(key), environ):
            place, text = found
            put(key, text, place)
            places.pop(variable(key), None)
    for key, value in given.items():
        if value is not None:
            put(key, value, f"the command line: {key}")
    return Settings(**values, rooms=rooms, places=places).checked()


def _given(name: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return a variable's name and text; None if it is not set. `NAME_FILE` names the file that the text is in."""
    if text := environ.get(name, ""):
        return name, text
    path = environ.get(f"{name}_FILE", "")
    if not path:
        return None
    try:
        return f"{name}_FILE", Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}_FILE is {path!r}, which can't be read: {error}") from None


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
