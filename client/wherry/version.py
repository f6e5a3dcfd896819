"""The name of the reference's `version` module."""

from wherry._base.version import __version__

__all__ = ["__version__"]
