"""The image builder's version: what Modal's own puts into images of Python by itself, until 2024.04."""

import os

from wherry.exception import InvalidError

# The first that is set counts.
_VARIABLES = ("WHERRY_IMAGE_BUILDER_VERSION", "MODAL_IMAGE_BUILDER_VERSION")
_OLD = ("2023.12", "2024.04")
_NEW = ("2024.10", "2025.06", "2026.10", "PREVIEW")
# What programs of that time use without installing it: an endpoint's framework, what it reads forms with, and an HTTP
# client, which was Modal's own.
_PACKAGES = ("fastapi", "python-multipart", "aiohttp")


def builder_packages() -> tuple[str, ...]:
    """Return the packages that images of Python begin with; none unless an old builder is asked for.

    Raises InvalidError for a version that is none.
    """
    for name in _VARIABLES:
        if version := os.environ.get(name, "").strip():
            if version in _OLD:
                return _PACKAGES
            if version not in _NEW:
                from wherry._base.misuse import near  # noqa: PLC0415 - start-up cost: only for a message

                known = (*_OLD, *_NEW)
                raise InvalidError(f"{name} is {version!r}: it is one of {', '.join(known)}{near(version, known)}")
            return ()
    return ()
