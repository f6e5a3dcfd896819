"""Modules that have moved: pickles of before, in Dicts, Queues and deployed apps, name them as they were."""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import ModuleSpec
from typing import Any

# Where what was in a module is now, first to last.
_MOVED = {
    "wherry._blueprint": ("wherry._classes.blueprint",),
    "wherry._define.entrypoint": ("wherry._app.roster",),
    "wherry._definition": ("wherry._define.definition", "wherry._classes.definition"),
    "wherry._derived": ("wherry.function",),
    "wherry._image": (),
    "wherry._image.function": ("wherry._define.build_function",),
    "wherry._image.step": ("wherry._define.step", "wherry._base.mounted"),
    "wherry._options": ("wherry._define.options",),
    "wherry._parameters": ("wherry._classes.parameters",),
    "wherry._partial": ("wherry._classes.partial",),
    "wherry._variant": ("wherry._calling.variants",),
    "wherry._volume_files": ("wherry._objects.volume_files",),
    "wherry._web": ("wherry._classes.web", "wherry._define.web_options"),
}


class Loader:
    """Loads a module under its old name."""

    @staticmethod
    def create_module(spec: object) -> None:
        """Let Python make the module."""

    @staticmethod
    def exec_module(module: Any) -> None:
        """Give a module all that its names mean now."""
        for name in reversed(_MOVED[module.__name__]):
            module.__dict__.update({k: v for k, v in vars(import_module(name)).items() if not k.startswith("__")})


def spec_of(name: str) -> ModuleSpec | None:
    """Return how to load a module that has moved by its old name; None for any other."""
    loader: Any = Loader
    return ModuleSpec(name, loader, is_package=name == "wherry._image") if name in _MOVED else None
