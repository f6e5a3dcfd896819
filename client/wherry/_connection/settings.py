"""Settings from the environment, and from the profile in use."""

import os
from pathlib import Path

from wherry.exception import InvalidError

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Remote:
    """A service that is reached over TCP."""

    __slots__ = ("address", "ca", "certificate", "secure", "token_id", "token_secret", "url")

    def __init__(self, url: str, token_id: str, token_secret: str, ca: str = "", certificate: str = "") -> None:
        scheme, _, rest = url.partition("://")
        rest = rest.rstrip("/")
        host, _, port = rest.rpartition(":")
        if not host or "]" in port:
            host, port = rest, "443" if scheme == "https" else "80"
        if not host or not port.isdigit() or set("/@?#") & set(host):
            raise InvalidError(f"the server's URL {url!r} is not of the form https://HOST:PORT")
        if scheme == "http" and host not in _LOOPBACK:
            raise InvalidError(
                f"the server's URL {url!r} has no TLS, and its token could be read on the way: use https://, "
                "or http:// to this machine alone"
            )
        self.url = url
        self.address = f"{host}:{port}"
        self.secure = scheme == "https"
        self.token_id = token_id
        self.token_secret = token_secret
        # Path of a PEM file of authorities, instead of those that the system trusts.
        self.ca = ca
        # PEM of the one certificate that is trusted: pinned.
        self.certificate = certificate


class Settings:
    """Where the service is, and which environment is meant."""

    __slots__ = ("environment", "is_default_server", "profile", "remote", "socket", "state_dir")

    def __init__(
        self,
        state_dir: Path,
        socket: Path,
        environment: str,
        is_default_server: bool,
        remote: Remote | None = None,
        profile: str = "",
    ) -> None:
        self.state_dir = state_dir
        self.socket = socket
        self.environment = environment
        # No service is configured: the local one is meant, and started when it is not running.
        self.is_default_server = is_default_server
        # Set: the service is there, and not at `socket`.
        self.remote = remote
        # The name of the profile that this comes from, where one is in use.
        self.profile = profile

    @property
    def server_url(self) -> str:
        """Where the service is."""
        return self.remote.url if self.remote is not None else f"unix://{self.socket}"

    @classmethod
    def from_environment(cls, environ: "os._Environ[str] | dict[str, str]" = os.environ) -> "Settings":
        """Read the WHERRY_… variables, and what they leave open from the profile; raise InvalidError on nonsense."""
        state_dir = _state_dir(environ)
        name, profile = _profile(environ)
        environment = environ.get("WHERRY_ENVIRONMENT", "") or profile.get("environment", "") or "main"
        url = environ.get("WHERRY_SERVER_URL", "")
        if not url:
            url = profile.get("server_url", "")
        elif url != profile.get("server_url", ""):
            # A profile's secret is for its own server alone.
            name, profile = "", {}
        if not url:
            return cls(state_dir, state_dir / "local.sock", environment, True, profile=name)
        scheme, _, path = url.partition("://")
        if scheme == "unix" and path.startswith("/"):
            return cls(state_dir, Path(path), environment, False, profile=name)
        if scheme not in ("https", "http"):
            raise InvalidError(
                f"the server's URL (WHERRY_SERVER_URL or a profile's) is {url!r}: it is https://HOST:PORT, or "
                "unix:///path/to/wherry.sock; unset it to use the local service"
            )
        remote = Remote(
            url,
            environ.get("WHERRY_TOKEN_ID", "") or profile.get("token_id", ""),
            environ.get("WHERRY_TOKEN_SECRET", "") or profile.get("token_secret", ""),
            environ.get("WHERRY_TLS_CA", ""),
            profile.get("certificate", ""),
        )
        return cls(state_dir, state_dir / "local.sock", environment, False, remote, name)


def _profile(environ: "os._Environ[str] | dict[str, str]") -> tuple[str, dict[str, str]]:
    """Return name and content of the profile in use, if there is one."""
    path = Path(environ.get("WHERRY_CONFIG_PATH") or Path.home() / ".wherry.toml")
    name = environ.get("WHERRY_PROFILE", "")
    if not name and not path.exists():
        return "", {}
    from wherry._connection.profiles import Profiles  # noqa: PLC0415 - start-up cost: only where there is a file

    profiles = Profiles(path)
    name = name or profiles.active
    return (name, profiles.get(name)) if name else ("", {})


def default_state_dir() -> Path:
    """Return where the local service keeps everything."""
    return _state_dir(os.environ)


def usual_state_dir() -> Path:
    """Return where it would, if WHERRY_STATE_DIR named no other place."""
    return _state_dir({name: value for name, value in os.environ.items() if name != "WHERRY_STATE_DIR"})


def _state_dir(environ: "os._Environ[str] | dict[str, str]") -> Path:
    if given := environ.get("WHERRY_STATE_DIR"):
        return Path(given).absolute()
    if base := environ.get("XDG_STATE_HOME"):
        return Path(base) / "wherry"
    return Path.home() / ".local" / "state" / "wherry"
