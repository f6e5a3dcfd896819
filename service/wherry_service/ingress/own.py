"""What the service itself answers at the ingress's port: at its own host name, and by path where there are no names."""

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
        path = scope["path"]
        if path.startswith(FOLDER):
            name = path[len(FOLDER) :].partition("/")[0]
            prefix, below = FOLDER + name, path[len(FOLDER + name) :]
            mounts = [mount for mount in self._mounts if mount.name == name]
        elif host == self._endpoints.site.own_host:
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
