"""The local service as a unit of systemd, which starts it when the machine does."""

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from wherry._connection.settings import usual_state_dir
from wherry.exception import ConnectionError

_BOOTED = Path("/run/systemd/system")
_SYSTEM_UNITS = Path("/etc/systemd/system")
_VARIABLES = "server.env"
# Beside WHERRY_…: what the service, docker's command line, pip and the stores of blobs read.
_KEPT = re.compile(
    r"(WHERRY|DOCKER|PIP|AWS)_[A-Z0-9_]+|PATH|(HTTP|HTTPS|NO)_PROXY|(http|https|no)_proxy|SSL_CERT_FILE|"
    r"REQUESTS_CA_BUNDLE|PYTHONPATH"
)
# Of the client, or said by the unit.
_LEFT_OUT = re.compile(
    r"WHERRY_(SERVER_URL|TOKEN_ID|TOKEN_SECRET|TLS_CA|PROFILE|CONFIG_PATH|ENVIRONMENT|STATE_DIR|MODAL|CONTAINER.*)"
)
# A line of the file that `as_file` makes.
_VARIABLE = re.compile(r'^([A-Z0-9_a-z]+)="((?:[^"\\]|\\.)*)"$', re.MULTILINE | re.DOTALL)
# In double quotes.
_SPECIAL = re.compile(r'([\\"$`])')
_ESCAPED = r"\\\1"
_WITHIN_S = 60
# Seconds in which a user's manager starts.
_MANAGER_WITHIN_S = 10.0


class Unit:
    """The unit of a state directory: root's starts with the machine, another user's with their manager."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.is_system = os.geteuid() == 0
        own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd/user"
        folder = _SYSTEM_UNITS if self.is_system else own
        self.name = "wherry.service"
        # The short name is the usual directory's. Which that is depends on HOME: another one may have it.
        if state_dir != usual_state_dir() or not self._is_ours(folder / self.name, or_missing=True):
            self.name = f"wherry-{hashlib.sha256(str(state_dir).encode()).hexdigest()[:8]}.service"
        self.path = folder / self.name
        self.variables_path = state_dir / _VARIABLES

    def _is_ours(self, path: Path, *, or_missing: bool = False) -> bool:
        """Whether a unit is there, and starts the service of this state directory."""
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return or_missing
        except OSError:
            return False
        started = [line for line in text.splitlines() if line.startswith("ExecStart=")]
        return any(f"{line} ".find(f" --state-dir {_word(str(self.state_dir))} ") >= 0 for line in started)

    @property
    def is_installed(self) -> bool:
        """Whether systemd has been told of it."""
        return self._is_ours(self.path)

    @property
    def config(self) -> Path | None:
        """The file of settings that an installed unit names."""
        if not self.is_installed:
            return None
        for line in self.path.read_text(encoding="utf-8").splitlines():
            if line.startswith("ExecStart="):
                words = [word.replace("$$", "$").replace("%%", "%") for word in shlex.split(line)]
                return Path(words[words.index("--config") + 1]) if "--config" in words else None
        return None

    def variables(self) -> dict[str, str]:
        """Return what `install` found in its environment; raise ConnectionError where that can't be read."""
        try:
            text = self.variables_path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConnectionError(f"{self.variables_path} can't be read: {error.strerror}") from None
        return {name: re.sub(r"\\(.)", r"\1", value) for name, value in _VARIABLE.findall(text)}

    def text(self, config: Path | None = None) -> str:
        """Return the file; `config`: a file of settings."""
        words = [sys.executable, "-P", "-m", "wherry_service", "--state-dir", str(self.state_dir)]
        words += ["--config", str(config)] if config is not None else []
        log = _literal(str(self.state_dir / "server.log"))
        if self.is_system:
            order, target = ["Wants=network-online.target", "After=network-online.target docker.service"], "multi-user"
        else:
            order, target = [], "default"
        lines = [
            "# Made by `wherry server install`, removed by `wherry server uninstall`.",
            "[Unit]",
            f"Description=Wherry, for {_literal(str(self.state_dir))}",
            *order,
            "StartLimitIntervalSec=60",
            "StartLimitBurst=5",
            "",
            "[Service]",
            "Type=exec",
            f"ExecStart={' '.join(_word(word) for word in words)}",
            f"EnvironmentFile=-{_literal(str(self.variables_path))}",
            f"StandardOutput=append:{log}",
            f"StandardError=append:{log}",
            "UMask=0077",
            # The service ends its containers by itself.
            "KillMode=mixed",
            "TimeoutStopSec=90",
            # `wherry server stop` ends it in order, and it stays so.
            "Restart=on-failure",
            "RestartSec=1",
            "",
            "[Install]",
            f"WantedBy={target}.target",
        ]
        return "\n".join(lines) + "\n"

    def check(self) -> None:
        """Raise ConnectionError unless this machine runs systemd."""
        if not _BOOTED.is_dir() or shutil.which("systemctl") is None:
            raise ConnectionError(
                "this machine does not run systemd, which starts services at boot: have whatever starts programs here "
                f"run `{sys.executable} -m wherry server run` as this user"
            )

    def install(self, text: str, variables: str) -> None:
        """Write the unit and the variables, and have systemd start it from the next boot on."""
        was = self.is_installed
        try:
            self.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(self.variables_path, variables, 0o600)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _write(self.path, text, 0o644)
        except OSError as error:
            raise ConnectionError(f"{error.filename or self.path} can't be written: {error.strerror}") from None
        try:
            self.systemctl("daemon-reload")
            self.systemctl("enable", "--quiet", self.name)
        except ConnectionError:
            # What systemd does not know is not installed.
            if not was:
                self.path.unlink()
                self.variables_path.unlink()
            raise

    def uninstall(self) -> bool:
        """Have systemd forget it; the service goes on if it runs. Return whether it was there."""
        was = self.is_installed
        if was and _BOOTED.is_dir():
            # First: a unit that systemd goes on to start needs its variables.
            self.systemctl("disable", "--quiet", self.name)
        try:
            if was:
                self.path.unlink(missing_ok=True)
            self.variables_path.unlink(missing_ok=True)
        except OSError as error:
            raise ConnectionError(f"{error.filename or self.path} can't be removed: {error.strerror}") from None
        if was and _BOOTED.is_dir():
            self.systemctl("daemon-reload")
        return was

    def start(self) -> bool:
        """Have systemd start it; False where it can't, as in a shell without the user's manager."""
        with contextlib.suppress(ConnectionError):  # mostly it has not failed
            # After a few failures in a row it would refuse; here somebody asks.
            self.systemctl("reset-failed", self.name)
        try:
            self.systemctl("start", self.name)
        except ConnectionError:
            return False
        return True

    def linger(self) -> bool:
        """Have this user's units start at boot, not at login; return whether they do.

        That also starts the user's manager, which a shell of su or cron does not have: before `install`.
        """
        if self.is_system or self.lingers():
            return True
        if _ran("loginctl", "enable-linger", str(os.geteuid())).returncode or not self.lingers():
            return False
        until = time.monotonic() + _MANAGER_WITHIN_S
        while time.monotonic() < until and _ran("systemctl", "--user", "show-environment").returncode:
            time.sleep(0.1)
        return True

    def lingers(self) -> bool:
        """Whether it starts at boot, not at the user's first login."""
        return self.is_system or "yes" in _ran("loginctl", "show-user", str(os.geteuid()), "-p", "Linger").stdout

    def systemctl(self, *words: str) -> None:
        """Run systemctl; raise ConnectionError with what it says where it fails."""
        line = ["systemctl", *([] if self.is_system else ["--user"]), *words]
        ended = _ran(*line)
        if ended.returncode:
            said = ended.stderr.strip() or f"exit code {ended.returncode}"
            if not self.is_system and "connect to bus" in said:
                said += (
                    "; this user has no manager of systemd yet: log in as this user (su is no login), or have root run "
                    f"`loginctl enable-linger {user_name()}`"
                )
            raise ConnectionError(f"`{' '.join(line)}` failed: {said}")


def user_name() -> str:
    """Return what this user is called."""
    try:
        import pwd  # noqa: PLC0415 - not on Windows, where no service runs

        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def variables_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the service reads of this environment."""
    return {
        name: value
        for name, value in sorted(environ.items())
        if _KEPT.fullmatch(name) and not _LEFT_OUT.fullmatch(name)
    }


def as_file(variables: Mapping[str, str]) -> str:
    """Return variables as systemd reads them from a file."""
    lines = [f'{name}="{_SPECIAL.sub(_ESCAPED, value)}"\n' for name, value in variables.items()]
    return "# What `wherry server install` found in its environment; there may be passwords in it.\n" + "".join(lines)


def _ran(*line: str) -> "subprocess.CompletedProcess[str]":
    environ = dict(os.environ)
    # Not set in a shell that su or cron has started.
    environ.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    try:
        return subprocess.run(
            line,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(line, 1, "", str(error))


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file in one step: systemd never reads half of it, and nobody reads it before it has its mode."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def _literal(text: str) -> str:
    """Return text in which systemd finds nothing to replace."""
    return text.replace("%", "%%")


def _word(text: str) -> str:
    """Return one word of a command line of a unit."""
    escaped = _literal(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if re.search(r"[\s\"'\\;]", text) else escaped
