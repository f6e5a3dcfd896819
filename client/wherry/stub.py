"""The name of the reference's `stub` module, of 2023: an app was called a stub."""

from wherry._app.roster import LocalEntrypoint
from wherry.app import Stub

__all__ = ["LocalEntrypoint", "Stub"]
