"""The name `modal`: `modal` and `modal.X` are the modules `wherry` and `wherry.X` themselves, not copies of them.

So classes are the same under either name, and pickles name them as Wherry's.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder

from wherry._base.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

VARIABLE = "WHERRY_MODAL"
NAME = "modal"
_OFF = ("", "0", "false", "no", "off")


class Finder:
    """Finds `modal` and what is in it, before anything else may: the path would load Wherry's files a second time."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Return how to load a module of that name; None for one that is neither `modal` nor in it."""
        if name != NAME and not name.startswith(f"{NAME}."):
            return None
        found = PathFinder.find_spec(_own(name), path) if path is not None else sys.modules["wherry"].__spec__
        if found is None:
            return None
        loader: Any = Loader
        spec = ModuleSpec(name, loader, origin=found.origin, is_package=found.submodule_search_locations is not None)
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.extend(found.submodule_search_locations or ())
        return spec


class Loader:
    """Has a module of Wherry's appear under its name in `modal`."""

    @staticmethod
    def create_module(spec: object) -> None:
        """Let Python make one: it is replaced."""

    @staticmethod
    def exec_module(module: Any) -> None:
        """Put the module of Wherry's in its place: the import system returns what it finds there."""
        sys.modules[module.__name__] = import_module(_own(module.__name__))

    @staticmethod
    def get_code(name: str) -> Any:
        """Return the code of the module, for `python -m modal`."""
        spec = PathFinder.find_spec(_own(name), sys.modules["wherry"].__path__)
        loader: Any = spec and spec.loader
        return loader and loader.get_code(_own(name))


def _own(name: str) -> str:
    return "wherry" + name[len(NAME) :]


def is_wanted() -> bool:
    """Whether the environment asks for the name."""
    return os.environ.get(VARIABLE, "").strip().lower() not in _OFF


def is_taken() -> bool:
    """Whether `import modal` gives Wherry in this process."""
    return Finder in sys.meta_path


def take(how: str) -> None:
    """Have `import modal` give Wherry in this process; `how` is what asked for it, as messages name it.

    Raises ImportError where the package of that name has been imported already. Where it is installed, and so hidden
    from now on, a line on stderr says so.
    """
    if is_taken():
        return
    loaded = sys.modules.get(NAME)
    if loaded is not None and loaded is not sys.modules.get("wherry"):
        where = getattr(loaded, "__file__", None) or "another place"
        raise ImportError(
            f"{how} has `import modal` mean Wherry, but this program has imported modal from {where} before: "
            f"import wherry first, or leave out {how}"
        )
    # In containers nobody reads along, and their image may have it for other programs.
    hidden = PathFinder.find_spec(NAME) if "WHERRY_CONTAINER" not in os.environ else None
    if hidden is not None and hidden.origin is not None and sys.stderr is not None:
        print(
            f"wherry: `import modal` means Wherry in this program ({how}); the package modal in {hidden.origin} is not "
            f"used. To use that one, leave out {how}.",
            file=sys.stderr,
        )
    sys.meta_path.insert(0, Finder)
