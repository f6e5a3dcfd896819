"""Whether the service, and all that it needs, is installed beside this client."""

import importlib.metadata
import importlib.util
import platform
import re

from wherry.exception import ConnectionError

_OF_SERVICE = re.compile(r"\s*([A-Za-z0-9._-]+).*;.*extra\s*==\s*['\"]service['\"]")
_SYSTEMS = {"Darwin": "macOS"}
_NAMED = 4  # in a message; what is missing is mostly all or one


def check_service_installed() -> None:
    """Raise ConnectionError unless the service could be started from this installation."""
    if (system := platform.system()) != "Linux":
        raise ConnectionError(
            f"the service runs on Linux, and this is {_SYSTEMS.get(system, system)}: start it on a Linux machine "
            "with a Docker engine of its own (docs/server.md), and set WHERRY_SERVER_URL here, or use "
            "`wherry profile add`"
        )
    if importlib.util.find_spec("wherry_service") is None:
        raise ConnectionError(f"the service is not installed here: {_ADVICE}")
    if missing := _missing():
        named = ", ".join(missing[:_NAMED]) + (f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else "")
        raise ConnectionError(
            f"the service can't be started here, since it needs packages that are missing ({named}): {_ADVICE}"
        )


_ADVICE = "pip install 'wherry[service]', or set WHERRY_SERVER_URL to a service that runs elsewhere"


def _missing() -> list[str]:
    """Return the names of packages that the service needs and that are not here.

    Sources on a path, without an installation, say nothing of what they need: then none are named.
    """
    try:
        requirements = importlib.metadata.requires("wherry") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [found[1] for text in requirements if (found := _OF_SERVICE.match(text)) and not _installed(found[1])]


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
