"""Volumes that Docker mounts by a driver, in place of directories of this host."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLACE = "{volume}"
VOLUME_LABEL = "wherry.volume"
_NAME = re.compile(r"wherry-((?:vo|sv)-[0-9A-Z]{26})-[0-9a-f]{12}\Z")


@dataclass(frozen=True, slots=True)
class DriverVolume:
    """A volume of Docker's: made when a container is that has it, on whichever host that is."""

    name: str
    volume_id: str
    driver: str
    options: Mapping[str, str]

    def mount(self, target: str, read_only: bool, labels: Mapping[str, str]) -> dict[str, Any]:
        """Return it as the engine's API has it."""
        return {
            "Type": "volume",
            "Source": self.name,
            "Target": target,
            "ReadOnly": read_only,
            "VolumeOptions": {
                # What the image has at that place stays there, as with a directory.
                "NoCopy": True,
                "Labels": {**labels, VOLUME_LABEL: self.volume_id},
                "DriverConfig": {"Name": self.driver, "Options": dict(self.options)},
            },
        }

    def option(self, target: str, read_only: bool, labels: Mapping[str, str]) -> str:
        """Return it as an option of docker's command line."""
        fields = ["type=volume", f"source={self.name}", f"target={target}", "volume-nocopy"]
        fields += [f"volume-driver={self.driver}", *(f"volume-opt={key}={text}" for key, text in self.options.items())]
        fields += [f"volume-label={key}={text}" for key, text in {**labels, VOLUME_LABEL: self.volume_id}.items()]
        fields += ["readonly"] if read_only else []
        return "--mount=" + ",".join(_quoted(field) for field in fields)


@dataclass(frozen=True, slots=True)
class VolumeDriver:
    """A driver and its options, of which at least one says by `{volume}` which volume it is.

    What it mounts is to be the same as what is in `directory` here, where the service reads and writes.
    """

    driver: str
    options: Mapping[str, str]
    directory: Path

    def volume_of(self, source: str) -> DriverVolume | None:
        """Return what is mounted in place of a directory of this host; None if that is none of a volume's."""
        path = Path(source)
        if not path.is_relative_to(self.directory) or path == self.directory:
            return None
        inner = path.relative_to(self.directory).as_posix()
        options = {key: text.replace(PLACE, inner) for key, text in self.options.items()}
        # Docker gives a volume that has the name, whatever its options are: other options have another name.
        digest = hashlib.sha256(json.dumps([self.driver, options], sort_keys=True).encode()).hexdigest()[:12]
        volume_id = inner.partition("/")[0]
        return DriverVolume(f"wherry-{volume_id}-{digest}", volume_id, self.driver, options)

    def replace_binds(self, host: dict[str, Any], labels: Mapping[str, str]) -> None:
        """Put volumes in the place of their directories, in a request that creates a container."""
        binds: list[str] = []
        mounts: list[dict[str, Any]] = []
        for bind in host["Binds"]:
            source, target, *modes = bind.split(":")
            volume = self.volume_of(source)
            if volume is None:
                binds.append(bind)
            else:
                mounts.append(volume.mount(target, "ro" in modes, labels))
        host["Binds"] = binds
        if mounts:
            host["Mounts"] = mounts

    def explained(self, text: str) -> str:
        """Return what the engine says of a container, with what to look at if it is about a volume."""
        if "volume" not in text.lower():
            return text
        return f"{text} (volumes.driver is {self.driver!r}: compare volumes.options with what that driver takes)"


def volume_id_of(name: str) -> str:
    """Return which volume one of Docker's is, "" if it is none that a driver was asked for."""
    match = _NAME.match(name)
    return match.group(1) if match else ""


def _quoted(field: str) -> str:
    """Return a field of a comma-separated value."""
    return '"' + field.replace('"', '""') + '"' if any(sign in field for sign in ',"') else field
