"""What an operator decides about images."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from wherry_service.errors import Unready

KEEP_DAYS = 30.0
BASE_IMAGE = "debian:{suite}-slim"


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Settings of images; each is read from the environment variable that its comment names."""

    # WHERRY_IMAGES_REGISTRY: "host:port/folder" that built images are pushed to, and pulled from before building.
    registry: str = ""
    # WHERRY_IMAGES_REGISTRY_USERNAME, WHERRY_IMAGES_REGISTRY_PASSWORD
    registry_username: str = ""
    registry_password: str = ""
    # WHERRY_IMAGES_KEEP_DAYS: days that an image is kept which nothing uses; 0 keeps all.
    keep_days: float = KEEP_DAYS
    # WHERRY_IMAGES_PYTHON: where debian_slim finds versions that Debian's packages have not: "python:{version}-slim".
    python: str = ""
    # WHERRY_IMAGES_BASE: how debian_slim's base is made: "auto", "registry" or "debootstrap".
    base: str = "auto"
    # WHERRY_IMAGES_BASE_IMAGE: the registry's image that it is made of.
    base_image: str = BASE_IMAGE
    # WHERRY_IMAGES_APT_MIRROR: of Debian's packages, for builds; not part of any image.
    apt_mirror: str = ""
    # WHERRY_IMAGES_ADD_URLS: "allow" has the engine fetch what ADD names by a URL, from the host's network.
    add_urls: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "ImageSettings":
        """Read the variables; raise `Unready` for nonsense."""
        days = environ.get("WHERRY_IMAGES_KEEP_DAYS", "")
        try:
            keep_days = float(days) if days else KEEP_DAYS
        except ValueError:
            raise Unready(f"WHERRY_IMAGES_KEEP_DAYS is {days!r}: it must be a number of days, 0 to keep all") from None
        python = environ.get("WHERRY_IMAGES_PYTHON", "")
        if python and "{version}" not in python:
            raise Unready(
                f"WHERRY_IMAGES_PYTHON is {python!r}: it must contain {{version}}, as python:{{version}}-slim"
            )
        base = environ.get("WHERRY_IMAGES_BASE", "") or "auto"
        if base not in ("auto", "registry", "debootstrap"):
            raise Unready(f"WHERRY_IMAGES_BASE is {base!r}: it must be auto, registry or debootstrap")
        base_image = environ.get("WHERRY_IMAGES_BASE_IMAGE", "") or BASE_IMAGE
        if "{suite}" not in base_image and "{version}" not in base_image:
            raise Unready(
                f"WHERRY_IMAGES_BASE_IMAGE is {base_image!r}: it must contain {{suite}}, as {BASE_IMAGE}, or "
                "{version}"
            )
        return cls(
            registry=environ.get("WHERRY_IMAGES_REGISTRY", "").strip("/"),
            registry_username=environ.get("WHERRY_IMAGES_REGISTRY_USERNAME", ""),
            registry_password=environ.get("WHERRY_IMAGES_REGISTRY_PASSWORD", ""),
            keep_days=keep_days,
            python=python,
            base=base,
            base_image=base_image,
            apt_mirror=environ.get("WHERRY_IMAGES_APT_MIRROR", ""),
            add_urls=environ.get("WHERRY_IMAGES_ADD_URLS", "") == "allow",
        )
