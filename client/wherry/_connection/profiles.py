"""Profiles: services by name, in ~/.wherry.toml.

active = "work"
[work]
server_url = "https://wherry.example:7433"
token_id = "tk-…"
token_secret = "ws-…"
environment = "main"
certificate = "-----BEGIN CERTIFICATE-----…"     # pinned
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from wherry.exception import InvalidError, NotFoundError

KEYS = ("server_url", "token_id", "token_secret", "environment", "certificate")


def profiles_path(environ: "os._Environ[str] | dict[str, str]" = os.environ) -> Path:
    """Return WHERRY_CONFIG_PATH, else ~/.wherry.toml."""
    return Path(environ.get("WHERRY_CONFIG_PATH") or Path.home() / ".wherry.toml")


class Profiles:
    """What the file holds. Changes are written at once, for its owner alone to read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.active = ""
        self.by_name: dict[str, dict[str, str]] = {}
        if path.exists():
            self._read()

    def get(self, name: str) -> dict[str, str]:
        """Return a profile; raise NotFoundError naming those that there are."""
        if name not in self.by_name:
            known = ", ".join(sorted(self.by_name)) or "none"
            raise NotFoundError(f"{self._path} has no profile {name!r}; it has: {known}")
        return self.by_name[name]

    def set(self, name: str, values: dict[str, str], activate: bool | None = None) -> None:
        """Write a profile, in place of one of the same name; the first is used at once unless `activate` is False."""
        if not name or name == "active" or len(name) > 64 or not name.isprintable():
            raise InvalidError(f"{name!r} can't be a profile's name")
        self.by_name[name] = {key: values[key] for key in KEYS if values.get(key)}
        if activate or (activate is None and len(self.by_name) == 1):
            self.active = name
        self._write()

    def set_environment(self, name: str, environment: str) -> None:
        """Have a profile use an environment unless a command names another; raise NotFoundError."""
        self.get(name)["environment"] = environment
        self._write()

    def activate(self, name: str) -> None:
        """Use a profile from now on; "" uses none."""
        if name:
            self.get(name)
        self.active = name
        self._write()

    def remove(self, name: str) -> None:
        """Forget a profile."""
        self.get(name)
        del self.by_name[name]
        if self.active == name:
            self.active = ""
        self._write()

    def _read(self) -> None:
        import tomllib  # noqa: PLC0415 - start-up cost: only where there is a file

        try:
            tree: dict[str, Any] = tomllib.loads(self._path.read_text())
        except (OSError, ValueError) as error:
            raise InvalidError(f"{self._path} can't be read as profiles: {error}") from None
        for name, value in tree.items():
            if name == "active" and isinstance(value, str):
                self.active = value
            elif isinstance(value, dict):
                self.by_name[name] = self._profile(name, value)
            else:
                raise InvalidError(f'{self._path}: {name!r} is neither a profile nor active = "NAME"')

    def _profile(self, name: str, value: dict[str, Any]) -> dict[str, str]:
        for key, item in value.items():
            if key not in KEYS or not isinstance(item, str):
                raise InvalidError(f"{self._path}: profile {name!r} has {key!r}; known are {', '.join(KEYS)}")
        return dict(value)

    def _write(self) -> None:
        # What JSON writes as text is text in TOML too.
        lines = [f"active = {json.dumps(self.active)}"] if self.active else []
        for name, values in self.by_name.items():
            lines += ["", f"[{json.dumps(name)}]", *(f"{key} = {json.dumps(item)}" for key, item in values.items())]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp's file is its owner's alone.
        number, partial = tempfile.mkstemp(dir=self._path.parent, prefix=".wherry-")
        try:
            with open(number, "w") as file:
                file.write("\n".join(lines).lstrip("\n") + "\n")
            os.replace(partial, self._path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
