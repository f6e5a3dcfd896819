"""The name of the reference's `client` module."""

from wherry._connection.client import Client

__all__ = ["Client"]
