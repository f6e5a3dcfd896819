"""Settings from the environment."""

import os
from pathlib import Path

from wherry.exception import InvalidError


class Settings:
    """Where the service is, and which environment is meant."""

    __slots__ = ("environment", "is_default_server", "socket", "state_dir")

    def __init__(self, state_dir: Path, socket: Path, environment: str, is_default_server: bool) -> None:
        self.state_dir = state_dir
        self.socket = socket
        self.environment = environment
        # No service is configured: the local one is meant, and started when it is not running.
        self.is_default_server = is_default_server

    @classmethod
    def from_environment(cls, environ: "os._Environ[str] | dict[str, str]" = os.environ) -> "Settings":
        """Read WHERRY_STATE_DIR, WHERRY_SERVER_URL and WHERRY_ENVIRONMENT; raise InvalidError on nonsense."""
        state_dir = _state_dir(environ)
        url = environ.get("WHERRY_SERVER_URL", "")
        socket = state_dir / "local.sock"
        if url:
            scheme, _, path = url.partition("://")
            if scheme != "unix" or not path.startswith("/"):
                raise InvalidError(
                    f"WHERRY_SERVER_URL is {url!r}: only unix:///path/to/wherry.sock is supported yet; "
                    "unset it to use the local service"
                )
            socket = Path(path)
        return cls(state_dir, socket, environ.get("WHERRY_ENVIRONMENT", "") or "main", not url)


def _state_dir(environ: "os._Environ[str] | dict[str, str]") -> Path:
    if given := environ.get("WHERRY_STATE_DIR"):
        return Path(given).absolute()
    if base := environ.get("XDG_STATE_HOME"):
        return Path(base) / "wherry"
    return Path.home() / ".local" / "state" / "wherry"
