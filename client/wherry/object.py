"""The name of the reference's `object` module."""

from wherry._base.object import Object

__all__ = ["Object"]
