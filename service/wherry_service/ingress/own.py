"""What the service itself answers at the ingress's port: at its own host name, and by path where there are no names."""

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from wherry_service.apps.endpoints import Endpoints
from wherry_service.ingress.heads import HOME, Peer

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
"""An ASGI app. Its scope's `path` includes `root_path`, below which it answers; `scope[PEER]` is who asks."""

# In a scope: a `heads.Peer`, as far as trusted proxies tell.
PEER = "wherry.peer"
# Where there are no names: "/.wherry/NAME" is in front of the path.
FOLDER = "/.wherry/"

# What no endpoint says at an origin that it shares with our pages.
_WITHHELD = frozenset(
    (
        # Its service worker would serve them.
        b"service-worker-allowed",
        # Ours is "same-origin": a page that opens ours is cut off from it because it has none. With the same one it
        # would hold the window, and read it.
        b"cross-origin-opener-policy",
        b"cross-origin-opener-policy-report-only",
        # Browsers would report what all pages of the origin ask for: addresses of streams have the page's proof.
        b"nel",
        b"report-to",
    )
)


class Mount(NamedTuple):
    """An app, its name in paths, and where it answers at the service's own host: "/v1", or "" for all of it."""

    name: str
    at: str
    app: App


class OwnPages:
    """Finds which of the service's own apps a request is for."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._mounts: list[Mount] = []

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._mounts)

    def mount(self, name: str, at: str, app: App) -> None:
        """Have an app answer: at the service's own host at `at` and below, elsewhere at `/.wherry/NAME` and `at`.

        Of two whose paths begin alike the longer one answers. `name`: one part of a path, such as "api".
        """
        self._mounts = sorted([*self._mounts, Mount(name, at, app)], key=lambda mount: len(mount.at), reverse=True)

    def url(self, name: str) -> str:
        """Return where an app answers, without a slash at its end."""
        (mount,) = (mount for mount in self._mounts if mount.name == name)
        return self._endpoints.site.own_origin + mount.at

    def find(self, scope: dict[str, Any], host: str, peer: Peer) -> tuple[App, dict[str, Any]] | None:
        """Return what answers a request that is for no endpoint and no tunnel, and the scope as it gets it."""
        if HOME in scope:
            # Code in a container has a socket of its own for that.
            return None
        return self._at(scope, host == self._endpoints.site.own_host, peer)

    def find_apart(self, scope: dict[str, Any], host: str, peer: Peer) -> tuple[App, dict[str, Any]] | None:
        """Return the same for the host name at which no endpoint answers: it is asked before these.

        To a browser an endpoint that answered there by path would be one with the service's pages.
        """
        if HOME in scope or not self._endpoints.site.is_own(host):
            return None
        return self._at(scope, True, peer)

    def _at(self, scope: dict[str, Any], is_own: bool, peer: Peer) -> tuple[App, dict[str, Any]] | None:
        path = scope["path"]
        if path.startswith(FOLDER):
            name = path[len(FOLDER) :].partition("/")[0]
            prefix, below = FOLDER + name, path[len(FOLDER + name) :]
            mounts = [mount for mount in self._mounts if mount.name == name]
        elif is_own:
            prefix, below = "", path
            mounts = self._mounts
        else:
            return None
        found = next((mount for mount in mounts if _is_below(below, mount.at)), None)
        if found is None:
            return None
        return found.app, {**scope, "root_path": prefix, PEER: peer}


def _is_below(path: str, at: str) -> bool:
    return not at or path == at or path.startswith(f"{at}/")


def is_plain(host: str, domain: str) -> bool:
    """Whether a host is an address, or the service's domain itself: there endpoints answer by path."""
    if host in ("localhost", domain):
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def sheltered(send: Any) -> Any:
    """Return what sends an endpoint's response where it has its origin in common with the service's own pages.

    It may not say what would give it these: see `_WITHHELD`.
    """

    async def send_less(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [row for row in message.get("headers", ()) if row[0].strip().lower() not in _WITHHELD]
            message = {**message, "headers": headers}
        await send(message)

    return send_less
