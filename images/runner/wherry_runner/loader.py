"""From a `load` frame to the user's function."""

from __future__ import annotations

import os
import sys
import time

from wherry_runner.payload import with_article

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry_runner.frames import Header

    UserFunction = Callable[..., Any]


class LoadError(Exception):
    """The function is not where the app said it is; the message says where it was looked for."""


# Variables that Python, its C library and the loader read as the process starts, and then no more.
_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_TUNABLES")
RESERVED = frozenset(
    (
        "WHERRY_CONTAINER", "WHERRY_CONTAINER_ID", "WHERRY_APP_ID", "WHERRY_APP_NAME", "WHERRY_FUNCTION_ID",
        "WHERRY_FUNCTION_NAME", "WHERRY_IMAGE_ID", "WHERRY_ENVIRONMENT", "MODAL_TASK_ID", "MODAL_IMAGE_ID",
        "MODAL_ENVIRONMENT", "MODAL_IS_REMOTE", "MODAL_CLOUD_PROVIDER", "MODAL_REGION",
    )
)  # fmt: skip
# Output is the runner's own affair.
_WITHOUT_EFFECT = ("PYTHONUNBUFFERED", "PYTHONIOENCODING")


def set_variables(frame: Header, secrets: bytes, may_begin_again: bool) -> bool:
    """Set a function's environment variables; return whether the process is to begin again with those that are set.

    It is where some count only as a process starts: those alone are set then, since what a process starts with can be
    read in /proc. `secrets`: variables as well, as JSON.
    """
    variables = frame.get("env") or {}
    if secrets:
        import json  # noqa: PLC0415 - start-up cost: costs 3 ms: only where there are secrets

        # What env= says, it says of this function alone: it wins.
        variables = {**json.loads(secrets), **variables}
    # What the container was made with says who it is: that stays.
    variables = {str(name): str(value) for name, value in variables.items() if name not in RESERVED}
    early = {
        name: value
        for name, value in variables.items()
        if name.startswith(_READ_AT_START) and name not in _WITHOUT_EFFECT
    }
    if may_begin_again and any(os.environ.get(name) != value for name, value in early.items()):
        os.environ.update(early)
        return True
    os.environ.update(variables)
    if "TZ" in variables:
        time.tzset()
    return False


def tell_children(directory: str, sdk: str) -> None:
    """Let Python processes that user code starts find the SDK, and the SDK the container's sockets."""
    os.environ["WHERRY_CONTAINER"] = f"{directory}{os.pathsep}{sdk}"
    here = os.path.dirname(os.path.abspath(__file__))
    own = os.path.join(here, "child")
    if os.environ.get("WHERRY_MODAL"):
        own += f"{os.pathsep}{os.path.join(here, 'child_modal')}"
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{path}{os.pathsep}{own}" if path else own


def load(frame: Header, serialized: bytes, source: str) -> UserFunction:
    """Import the user's module (or unpickle the function) and return the plain function; of a class, its blueprint.

    Raise `LoadError`, or whatever the user's module raises.
    """
    function = frame["function"]
    if os.environ.get("WHERRY_MODAL"):
        # It takes the name `modal` as it is imported.
        __import__("wherry")
    if serialized:
        _check_python(function.get("python") or "", function.get("name") or "the function")
        import pickle  # noqa: PLC0415 - start-up cost: 3 ms and 0.8 MiB, only for serialized functions

        return _unwrap(pickle.loads(serialized), function.get("name") or "the function", _is_class(function))
    name: str = function["module"]
    path = os.path.join(source, *name.split(".")) + ".py"
    sys.argv = [path if os.path.exists(path) else name]
    __import__(name)
    module = sys.modules[name]
    # Pickles made where this module was the script name its classes `__main__.X`.
    sys.modules["__main__"] = module
    target: Any = module
    for part in function["qualname"].split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            loaded = getattr(module, "__file__", None) or "built in"
            if os.path.exists(path) and not (os.path.exists(loaded) and os.path.samefile(loaded, path)):
                raise LoadError(
                    f"{name}.py has the name of a module that Python itself has loaded before ({loaded}): "
                    "rename the file"
                ) from None
            raise LoadError(
                f"module {name} has no {function['qualname']}: is it defined under a condition, or inside a function? "
                "A function that its module does not name can be sent with serialized=True."
            ) from None
    return _unwrap(target, f"{name}.{function['qualname']}", _is_class(function))


def _check_python(wanted: str, name: str) -> None:
    """Byte code, which a pickled function is, differs from one minor version to the next."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if wanted and wanted != here:
        raise LoadError(
            f"{name} was sent as byte code of Python {wanted}, and its container has Python {here}: "
            f'use the same on both sides, for example image=wherry.Image.debian_slim("{wanted}"), or define '
            "it at the top level of a module, without serialized=True"
        )


def _is_class(function: Any) -> bool:
    return bool(function.get("methods")) or is_server(function.get("web"))


def is_server(web: Any) -> bool:
    """Whether that describes a class that is a server."""
    spec = (web or {}).get("")
    return spec is not None and spec.get("exit_grace_s") is not None


def _unwrap(target: Any, name: str, is_class: bool) -> UserFunction:
    """Return the plain function behind the SDK's handle, if it is one."""
    if is_class:
        blueprint = getattr(target, "_blueprint", None)
        if blueprint is None:
            raise LoadError(
                f"{name} is {with_article(type(target).__name__)}, not a class of an app: put @app.cls() on it where "
                "it is defined"
            )
        return blueprint  # type: ignore[no-any-return]
    get_raw = getattr(target, "get_raw_f", None)
    if get_raw is not None:
        target = get_raw()
    if not callable(target):
        raise LoadError(f"{name} is {with_article(type(target).__name__)}, not a function")
    return target  # type: ignore[no-any-return]


def wraps_coroutine(target: Any) -> bool:
    """Whether a plain function, or a class's plain method, wraps one that is asynchronous: it may return coroutines."""
    methods = getattr(target, "methods", None)
    functions = [method.raw_f for method in methods.values()] if isinstance(methods, dict) else [target]
    return any(_flags(_innermost(function)) & _ASYNC and not _flags(function) & _ASYNC for function in functions)


# Bits of `co_flags`: of a coroutine function and of an asynchronous generator.
_ASYNC = 0x80 | 0x200


def _innermost(function: Any) -> Any:
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        function = inner
    return function


def _flags(function: Any) -> int:
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return flags if isinstance(flags, int) else 0
