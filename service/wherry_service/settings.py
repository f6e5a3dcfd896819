"""The service's settings: a YAML file, and WHERRY_… variables that go before it. The page about them is made of it."""

# large: every key there is, with what it means
# A key such as `tls.certificate` is `certificate:` below `tls:` in the file, and WHERRY_TLS_CERTIFICATE as a variable.
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from wherry_service.settings_key import Key, SettingsError

MIN_SOURCES_DAYS = 0.25
_DATABASES = ("postgresql", "postgres", "postgresql+psycopg", "sqlite")


def _key(key: str, default: Any, doc: str, kind: str = "text", choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"key": Key(key, default, doc, kind, choices)})


# What the rooms of the service read themselves, from `Settings.rooms`: they know best what is allowed.
_ROOMS = (
    Key(
        "workspace", "wherry", "The first word of the URLs of web endpoints: `http://WORKSPACE--LABEL.localhost:8720`."
    ),
    Key("http.host", "127.0.0.1", "Where web endpoints listen."),
    Key("http.port", "", "The port of web endpoints. Unset: 8720, or any other if that is taken.", "whole"),
    Key("http.url", "", "The address of web endpoints behind a proxy: `https://apps.example.com`."),
    Key("http.trusted_proxies", "", "Addresses or networks whose `X-Forwarded-*` headers are believed.", "list"),
    Key(
        "http.response_timeout",
        150.0,
        "Seconds without a response after which a request is redirected to a result URL; 0: never.",
        "number",
    ),
    Key("http.head_timeout", 20.0, "Seconds that a request's head may take.", "number"),
    Key("http.body_timeout", 60.0, "Seconds between two pieces of a request's body.", "number"),
    Key("http.write_timeout", 120.0, "Seconds that a client may go without reading its response.", "number"),
    Key("http.keep_alive", 65.0, "Seconds that an idle connection stays open.", "number"),
    Key("http.max_header_kib", 64, "KiB of a request's head, at most.", "whole"),
    Key("http.max_body_mib", 4096, "MiB of a request's body, at most; 0: no limit.", "whole"),
    Key(
        "http.api",
        "on",
        "Whether the HTTP API answers at the port of web endpoints; each of its requests has a token.",
        choices=("on", "off"),
    ),
    Key("http.queue_limit", 0, "Requests that may wait for one function; 0: no limit of its own.", "whole"),
    Key(
        "http.proxy_tokens",
        "",
        "`ID:SECRET` of those whom `requires_proxy_auth` lets through in every environment, beside tokens that may "
        "invoke; best as a variable.",
        "list",
        variable="WHERRY_PROXY_TOKENS",
    ),
    Key(
        "blobs.url",
        "",
        "`s3://BUCKET/FOLDER`: where large values and source files are kept. Unset: in the state directory.",
    ),
    Key("blobs.endpoint", "", "Where that bucket's service is, `https://HOST:PORT`. Unset: Amazon's."),
    Key("blobs.region", "", "Its region."),
    Key(
        "blobs.access_key",
        "",
        "The access key for the bucket. Unset: that of the `AWS_…` variables or the machine's role.",
    ),
    Key("blobs.secret_key", "", "The secret key for the bucket; best as a variable."),
    Key("blobs.cache_mib", 10240, "MiB of what is in the bucket that stay on this host's disk, too.", "whole"),
    Key("images.registry", "", "`HOST:PORT/FOLDER` that built images are pushed to, and pulled from before building."),
    Key("images.registry_username", "", "The user name for that registry."),
    Key("images.registry_password", "", "The password for that registry; best as a variable."),
    Key("images.keep_days", 30.0, "Days that an image is kept which nothing uses; 0 keeps all.", "number"),
    Key("images.python", "", "Where `debian_slim` finds Pythons that Debian lacks: `python:{version}-slim`."),
    Key(
        "images.base",
        "auto",
        "How `debian_slim`'s base is made: `registry` pulls a Debian and puts Python into it; `debootstrap` makes "
        "it from Debian's packages, in a container unless as root; `auto` does the first where a registry answers.",
        choices=("auto", "registry", "debootstrap"),
    ),
    Key(
        "images.base_image",
        "debian:{suite}-slim",
        "The registry's image that it is made of. `{suite}` is Debian's release, `{version}` is Python's.",
    ),
    Key("images.apt_mirror", "", "A mirror of Debian's packages for builds; it is not part of any image."),
    Key(
        "images.add_urls",
        "refuse",
        "What happens with `ADD https://…` in a Dockerfile: `refuse`, or `allow`. The engine fetches the URL from the "
        "host's network, where it also reaches servers on 127.0.0.1.",
        choices=("refuse", "allow"),
    ),
    Key(
        "network.isolate",
        "auto",
        "Separates containers from each other, from this host and from the cloud's metadata. `auto`: as far as this "
        "host allows. `require`: if this host does not allow all of it, no container with a network starts. `off`: "
        "containers share the engine's own bridge.",
        choices=("auto", "require", "off"),
    ),
    Key(
        "network.allow",
        "",
        "What containers may reach all the same: IPv4 addresses or networks, with a port to allow only that port, such "
        "as `10.0.0.5:5432`.",
        "list",
    ),
    Key(
        "network.block",
        "",
        "What containers may not reach in addition: IPv4 addresses or networks, such as `10.0.0.0/8`.",
        "list",
    ),
    Key(
        "containers.runtime",
        "",
        "The OCI runtime of all containers that run code of users, such as `runsc` (gVisor): functions, builds' "
        "functions, shells, sandboxes. Unset: the engine's default.",
    ),
    Key(
        "containers.memory_limit",
        "",
        "The memory limit of a function's container, a sandbox or a build's function that sets none itself, such as "
        "`4GiB`; `0`: all of the host's memory. Unset: 80 % of it, the share of all containers.",
        "size",
    ),
    Key(
        "containers.user",
        "",
        "`UID:GID`, in numbers: the user that functions, shells and sandboxes run as. Its home is in memory; `pip "
        "install` puts packages there. Unset: root, or the `USER` of the image.",
    ),
    Key(
        "gpus.devices",
        "",
        "The GPUs that containers may have, `ID=TYPE`, such as `0=A100-80GB`. The id is a number or UUID as in "
        "`nvidia-smi -L`. Unset: all that `nvidia-smi` lists where the service runs.",
        "list",
    ),
    Key("gpus.containers_per_gpu", 1, "Containers that may have the same GPU at the same time.", "whole"),
    Key("sandbox.runtime", "", "The OCI runtime of sandboxes alone. Unset: `containers.runtime`."),
    Key("sandbox.pids", 1024, "Processes and threads that one sandbox may have.", "whole"),
    Key(
        "sandbox.from_functions",
        64,
        "Sandboxes of one app that may run when code inside its functions creates another; 0: functions create none.",
        "whole",
    ),
    Key("sandbox.log_mib", 32, "MiB of each sandbox's output that are kept at least; twice that at most.", "whole"),
    Key("sandbox.tunnel_host", "127.0.0.1", "Where tunnels into sandboxes listen."),
    Key(
        "replay.max_inputs",
        10_000,
        "Spawned and scheduled inputs that failed and are kept with their arguments, to be [run again](replay.md); the "
        "oldest are dropped first. 0: none is kept.",
        "whole",
    ),
    Key("replay.max_bytes", 1 << 30, "Disk for their arguments, such as `200MB` or `2GiB`.", "size"),
    Key("replay.keep_days", 30.0, "Days after which one is dropped; 0: none is for its age.", "number"),
    Key(
        "notify.url",
        "",
        "A webhook, `https://HOST/PATH`, that is told of what went wrong; best as a variable. "
        "[What it gets](server.md#notifications).",
    ),
    Key(
        "notify.events",
        "",
        "Which events it gets: `schedule_failed`, `inputs_failed`, `deploy_failed`, `crash_loop`, `disk_low`, "
        "`service_restarted`. Unset: all.",
        "list",
    ),
    Key(
        "notify.disk_free",
        10.0,
        "Percent of the state directory's disk that are free, below which the disk counts as low; 0: never.",
        "number",
    ),
    Key(
        "records.keep",
        10_000,
        "Records of calls that are kept in memory of each function, of inputs that have ended; 0: none.",
        "whole",
    ),
    Key(
        "records.keep_days",
        30.0,
        "Days that counts of calls by the minute, later by the hour, and records on disk are kept.",
        "number",
    ),
    Key(
        "records.max_rows",
        100_000,
        "Records of calls on disk: of inputs that failed, were spawned or scheduled, and of the sample; 0: none.",
        "whole",
    ),
    Key(
        "records.sample",
        0.01,
        "The part of all other inputs of which there are records on disk, too: a number from 0 to 1. At most 10 inputs "
        "a second are written for it.",
        "number",
    ),
    Key(
        "logs.forward",
        "",
        "Where lines of logs are sent, too: `otlp`, `syslog`, `file`, or several of them. "
        "[What is sent](observability.md#forwarding-logs).",
        "list",
    ),
    Key("logs.forward_otlp", "http://127.0.0.1:4318", "The receiver of OpenTelemetry's protocol over HTTP."),
    Key(
        "logs.forward_headers",
        "",
        "`NAME=VALUE` headers for that receiver, such as a token; best as a variable.",
        "list",
    ),
    Key("logs.forward_syslog", "unix:///dev/log", "The syslog: `udp://HOST:PORT`, `tcp://HOST:PORT`, `unix:///PATH`."),
    Key("logs.forward_file", "", "The file for `logs.forward: file`, a line of JSON each."),
    Key(
        "metrics.listen",
        "",
        "`HOST:PORT` where Prometheus fetches metrics; `on`: 127.0.0.1:9464. At an address that is not this machine's "
        "own, with a token alone. Unset: there are none. [Which ones](observability.md#metrics).",
        "switch",
    ),
    Key(
        "metrics.max_series",
        10_000,
        "Series that metrics have, about. 100 are counted for each function; functions beyond are one, `other`.",
        "whole",
    ),
    Key(
        "ui.enabled",
        "on",
        "Whether there is a dashboard (`wherry dashboard`): the port of web endpoints is open from the start then.",
        choices=("on", "off"),
    ),
    Key(
        "ui.remote",
        "off",
        "Whether the dashboard answers browsers on other machines too, over TLS alone: a proxy in front has that.",
        choices=("on", "off"),
    ),
    Key("ui.session_hours", 24.0, "Hours after which one signs in to the dashboard again.", "number"),
    Key(
        "schedule.catch_up",
        "newest",
        "Which ticks run that a schedule missed while the service was down: `newest`, or `none`.",
        choices=("newest", "none"),
    ),
)


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
    return {key.key: key for key in (*keys, *_ROOMS)}


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
