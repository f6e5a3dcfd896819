"""References to what is to be run: `file.py`, `file.py::f`, `file.py::Class.method`, `pkg.mod::f`, `file.py::app.f`."""

import importlib
import importlib.util
import linecache
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from wherry._app.roster import LocalEntrypoint
from wherry._base import modal_name
from wherry._base.code import script_name
from wherry._base.misuse import near
from wherry._define.definition import Definition
from wherry._define.plan import Plan
from wherry._define.recipe import Recipe
from wherry.app import App
from wherry.cli._common import stdin_is_terminal
from wherry.cli._methods import MethodTarget, methods_of
from wherry.cli._usage import UsageError
from wherry.function import Function
from wherry.image import Image

# Stands for standard input.
STDIN = "-"

Target = LocalEntrypoint[..., Any] | Function[..., Any] | MethodTarget


def check_module(ref: str) -> None:
    """Raise UsageError where `-m` stands before a file."""
    if _is_file(ref.partition("::")[0]):
        raise UsageError(f"-m takes the name of a module, and {ref} is a file: leave -m out")


def find_target(ref: str) -> Target:
    """Import what `ref` names and return its entrypoint, function or method.

    Raises UsageError, listing what there is, when it does not name exactly one; and whatever the import raises.
    """
    place, _, name = ref.partition("::")
    module = _imported(place)
    apps = _apps(module)
    if not apps:
        raise _no_app(place)
    if isinstance(app := getattr(module, name.partition(".")[0], None), App):
        # The app's variable, alone or before what is meant of it.
        apps, name = [app], name.partition(".")[2]
    entrypoints: dict[str, Target] = {}
    functions: dict[str, Target] = {}
    for app in apps:
        entrypoints.update(app.registered_entrypoints)
        functions.update(app.registered_functions)
        functions.update(methods_of(app))
    if name:
        found = entrypoints.get(name) or functions.get(name)
        if found is None and len(own := [item for item in functions if item.startswith(f"{name}.")]) == 1:
            # A class with a single method.
            found = functions[own[0]]
        if found is None:
            raise UsageError(
                f"{_subject(place)} has no entrypoint or function {name!r}; {_listed(place, entrypoints, functions)}"
            )
        return found
    if len(entrypoints) == 1:
        return next(iter(entrypoints.values()))
    if not entrypoints and len(functions) == 1:
        return next(iter(functions.values()))
    if not entrypoints and not functions:
        raise UsageError(f"{_subject(place)} has an app without functions: decorate one with @app.function()")
    raise UsageError(f"say what to run; {_listed(place, entrypoints, {} if entrypoints else functions)}")


def find_app(ref: str) -> App:
    """Import what `ref` names (`file.py`, or `file.py::name` of the app's variable) and return its app.

    Raises UsageError, listing what there is, when it does not name exactly one; and whatever the import raises.
    """
    place, _, name = ref.partition("::")
    module = _imported(place)
    if name:
        app = getattr(module, name, None)
        if not isinstance(app, App):
            variables = [own for own, value in vars(module).items() if isinstance(value, App)]
            raise UsageError(f"{_subject(place)} has no app {name!r}; it has {', '.join(variables) or 'none'}")
        return app
    apps = _apps(module)
    if not apps:
        raise _no_app(place)
    if len(apps) > 1:
        raise UsageError(
            f"{_subject(place)} has {len(apps)} apps: say which, as {_written(place)}::NAME_OF_THE_VARIABLE"
        )
    return apps[0]


def find_definition(ref: str) -> tuple[Plan, Definition]:
    """Import what `ref` names and return its function, or its class, as it is defined, with what its app plans.

    Raises UsageError, listing what there is, when it does not name exactly one; and whatever the import raises.
    """
    place, _, name = ref.partition("::")
    module = _imported(place)
    plans = [app.__wherry_owner__.plan() for app in _apps(module)]
    found = {definition.name: (plan, definition) for plan in plans for definition in plan.definitions}
    if not found:
        raise UsageError(f"{_subject(place)} has no app with functions: decorate one with @app.function()")
    if not name and len(found) == 1:
        return next(iter(found.values()))
    # A method's container is its class's.
    methods = {own: found[own.rpartition(".")[0]] for app in _apps(module) for own in methods_of(app)}
    known = found.get(name) or methods.get(name)
    if known is None:
        listed = "\n".join(f"  {_written(place)}::{own}" for own in (*found, *methods))
        raise UsageError(
            f"{f'{_subject(place)} has no function {name!r}' if name else 'say which'}; there are:\n{listed}"
        )
    return known


def images_of(ref: str) -> list[Recipe]:
    """Import what `ref` names and return its images: a variable's, a function's, or all that a file has.

    Raises UsageError when there is none; and whatever the import raises.
    """
    place, _, name = ref.partition("::")
    module = _imported(place)
    apps = _apps(module)
    if name and isinstance(variable := getattr(module, name, None), Image):
        return [variable]
    found: list[Recipe] = []
    names: list[str] = []
    for plan in (app.__wherry_owner__.plan() for app in apps):
        for definition in plan.definitions:
            names.append(definition.name)
            if name in ("", definition.name):
                found.append(plan.image_of(definition))
    variables = [own for own, value in vars(module).items() if isinstance(value, Image)]
    if not name:
        found += [vars(module)[own] for own in variables]
    if not found:
        there = "\n".join(f"  {_written(place)}::{own}" for own in (*variables, *names))
        raise UsageError(
            f"{_subject(place)} has no image{f' {name!r}' if name else ''}"
            + (f"; there are:\n{there}" if there else "")
        )
    return list(dict.fromkeys(found))


def _no_app(place: str) -> UsageError:
    loaded = sys.modules.get(modal_name.NAME)
    if loaded is not None and not modal_name.is_taken():
        where = getattr(loaded, "__file__", None)
        return UsageError(
            f"{_subject(place)} has no app of Wherry's: its `import modal` is the package in {where}. With --modal, or "
            "WHERRY_MODAL=1, it means Wherry"
        )
    return UsageError(f"{_subject(place)} has no app: make one with `app = wherry.App()`")


def _listed(place: str, entrypoints: dict[str, Target], functions: dict[str, Target]) -> str:
    names = [f"  {_written(place)}::{name}" for name in (*entrypoints, *functions)]
    return "there are:\n" + "\n".join(names)


def _subject(place: str) -> str:
    return "the script on stdin" if place == STDIN else place


def _written(place: str) -> str:
    # What begins with "-" would be an option.
    return "-- -" if place == STDIN else place


def _is_file(place: str) -> bool:
    return place.endswith(".py") or os.sep in place


def no_file(path: Path) -> UsageError:
    """Return the error that there is no such file, with the names of Python files near it."""
    return UsageError(f"there is no file {path}{near(path.name, [file.name for file in path.parent.glob('*.py')])}")


def _imported(place: str) -> ModuleType:
    if place == STDIN:
        return _import_stdin()
    return _import_file(Path(place)) if _is_file(place) else _import_module(place)


def _import_stdin() -> ModuleType:
    """Run standard input as a module that no file has: its functions are sent themselves."""
    if stdin_is_terminal():
        raise UsageError("- reads a program from standard input, which is a terminal here: pipe one in")
    name, text = "<stdin>", sys.stdin.read() if sys.stdin is not None else ""
    module = ModuleType("wherry_stdin")
    module.__file__ = name
    sys.modules[module.__name__] = module
    sys.path.insert(0, os.getcwd())
    # Tracebacks show its lines.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), vars(module))
    return module


def _import_file(path: Path) -> ModuleType:
    path = path.resolve()
    if path.is_dir():
        raise UsageError(f"{path} is a directory: name one of its files")
    if not path.is_file():
        raise no_file(path)
    # As `python file.py` does: its directory comes first, whatever the current one is.
    sys.path.insert(0, str(path.parent))
    name = script_name(str(path))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _import_module(name: str) -> ModuleType:
    # Any name can be a file's: `05_intro.main` is none that Python could import by a statement.
    if not all(name.split(".")):
        raise UsageError(f"{name!r} is neither a module nor a file: write FILE.py::NAME")
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise UsageError(f"there is no module {name}; a file is named with its .py") from None
        raise


def _apps(module: ModuleType) -> list[App]:
    """Return the module's apps; those named `app` or `stub` alone, if there are such."""
    named = [value for name in ("app", "stub") if isinstance(value := getattr(module, name, None), App)]
    apps = named or [value for value in vars(module).values() if isinstance(value, App)]
    apps = list({id(app): app for app in apps}.values())
    # What is included in another one runs with it.
    owners = [app.__wherry_owner__ for app in apps]
    return [app for app, own in zip(apps, owners, strict=True) if not any(one.includes(own) for one in owners)]
