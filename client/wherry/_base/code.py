"""What the code of a function says of it: its kind, and the module in which a container finds it."""

from __future__ import annotations

import os
import sys

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType

# Bits of `co_flags` (inspect.CO_*; importing inspect takes longer than the rest of wherry).
_GENERATOR = 0x20
_COROUTINE = 0x80
_ASYNC_GENERATOR = 0x200


def kind_of(function: Callable[..., Any]) -> tuple[bool, bool]:
    """Return whether a function is a generator, and whether it is asynchronous.

    A wrapper is what it is itself, as Python sees it, whatever it wraps: its container finds out what it returns.
    """
    flags = code_of(function).co_flags
    # What inspect.markcoroutinefunction sets.
    is_marked = hasattr(function, "_is_coroutine_mark")
    return bool(flags & (_GENERATOR | _ASYNC_GENERATOR)), is_marked or bool(flags & (_COROUTINE | _ASYNC_GENERATOR))


def wraps_generator(function: Callable[..., Any]) -> bool:
    """Whether a generator function is below a function's wrappers."""
    code = getattr(innermost(function), "__code__", None)
    return bool(getattr(code, "co_flags", 0) & (_GENERATOR | _ASYNC_GENERATOR))


def innermost(function: Any) -> Any:
    """Return what is below all wrappers of a function."""
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        function = inner
    return function


def code_of(function: Callable[..., Any]) -> CodeType:
    """Return the code of a plain function, or of what one without code (functools.cache) wraps.

    Raises InvalidError for anything else.
    """
    unwrapped: Any = function
    while True:
        code: CodeType | None = getattr(unwrapped, "__code__", None)
        if hasattr(code, "co_flags"):
            assert code is not None
            return code
        unwrapped = getattr(unwrapped, "__wrapped__", None)
        if unwrapped is None:
            raise InvalidError(f"@app.function() got {function!r}: it goes on a plain function, written with def")


def importable_name(module_name: str | None, function: Any = None) -> str:
    """Return the name under which a container imports a module: `__main__` is its file's or package's name.

    "__main__" where there is no file to import.
    """
    if module_name != "__main__":
        return module_name or "__main__"
    main = main_of(function)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name and spec.name != "__main__":
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return script_name(file) if file and os.path.isfile(file) else "__main__"


def has_file(module: ModuleType | None) -> bool:
    """Whether a module was read from a file: not typed in, nor made by hand."""
    file = getattr(module, "__file__", None) or ""
    # Of standard input it is "<stdin>".
    return bool(file) and (file[0], file[-1]) != ("<", ">")


def is_written(function: Any, qualname: str, module: ModuleType | None) -> bool:
    """Whether something of that name, with this function in it, is in the file that its module was read from.

    It is not where it was typed in (a shell, a notebook, `python -c`, standard input), or made by `exec` (a doctest).
    """
    if not has_file(module):
        return False
    code = getattr(innermost(function), "__code__", None)
    if code is None or os.path.exists(code.co_filename):
        return True
    # Made by exec within a module that has it under its name (a namedtuple's method, say), or of a file that was moved.
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found is not None


def script_name(file: str) -> str:
    """Return the name of a script as a module, whatever the file is called; of a link, that of the file behind it.

    Python looks for a script's modules beside the file behind a link, too.
    """
    folder, base = os.path.split(os.path.realpath(file))
    stem, suffix = os.path.splitext(base)
    name = stem if suffix in (".py", ".pyw") else base
    if name == "__main__":
        # Of a directory that was run.
        name = f"{os.path.basename(folder)}_main"
    if "." not in name and suffix == ".py" and stem != "__main__":
        return name
    name = name.replace(".", "_")
    while os.path.isdir(os.path.join(folder, name)) or os.path.exists(os.path.join(folder, f"{name}.py")):
        name += "_"
    return name


def main_of(function: Any) -> ModuleType | None:
    """Return the module `__main__`, as what runs scripts (cProfile, trace) may have it beside its own."""
    main = sys.modules.get("__main__")
    names = getattr(innermost(function), "__globals__", None)
    if main is None or names is None or names is vars(main) or names.get("__name__") != "__main__":
        return main
    own = type(main)("__main__")
    own.__file__ = names.get("__file__")
    return own
