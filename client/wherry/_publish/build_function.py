"""The function of `Image.run_function`: what decides whether it runs again, and what the service needs to run it."""

from __future__ import annotations

import hashlib
import io
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping, Set
from typing import TYPE_CHECKING, Any

from wherry._base.code import code_of
from wherry._connection import pickling
from wherry._publish.mounts import module_mounts, mounted_files, mounts_together
from wherry._publish.needs import Needs, make_ready
from wherry._publish.spec import function_spec
from wherry.exception import InvalidError, SerializationError
from wherry_proto.messages import Format, FunctionSpec, Payload

if TYPE_CHECKING:
    from wherry._define.build_function import BuildFunction
    from wherry._publish.mounts import Mounts
    from wherry._publish.resolver import Resolver

MAX_ARGUMENTS = 1 << 20


def fingerprint(function: BuildFunction) -> str:
    """Return a hash of the function's source, the globals it names, its arguments and the files of its mounts."""
    digest = hashlib.sha256()
    for part in (
        *(part for one in function.functions for part in _described(one, set())),
        *([function.facts] if function.facts else []),
        *_mounted(mounts_together(None, function.definition.options.mounts)),
    ):
        digest.update(part.encode() + b"\0")
    digest.update(_value((function.args, function.kwargs), set()).encode())
    return digest.hexdigest()[:32]


def build_spec(function: BuildFunction, resolver: Resolver) -> FunctionSpec:
    """Send the function's source and return what the service needs to run it, as the resolver's builds do."""
    definition = function.definition
    options = definition.options
    module = definition.module
    spec = function_spec(definition)
    needs = Needs(
        None,
        modules=[module] if options.include_source and module is not None else [],
        mounts=options.mounts,
        secrets=options.secrets,
        volumes=options.volumes,
        network_file_systems=options.network_file_systems,
    )
    make_ready(resolver, [needs])[0].fill(spec)
    if function.args or function.kwargs:
        try:
            data = pickling.dumps((function.args, function.kwargs), by_reference=True)
        except pickling.UNPICKLABLE as error:
            raise SerializationError(
                f"the arguments of run_function({function.name}) can't be pickled: {error}"
            ) from None
        if len(data) > MAX_ARGUMENTS:
            raise InvalidError(
                f"the arguments of run_function({function.name}) take {len(data) >> 10} KiB of at most 1024: "
                "add large data with Image.add_local_file(copy=True)"
            )
        spec.parameters = Payload(format=Format.PICKLE, data=data, size=len(data))
    return spec


def _described(function: Callable[..., Any], seen: set[int]) -> Iterator[str]:
    """Yield what the result of a function depends on, as far as its text says."""
    seen.add(id(function))
    yield _source(function)
    names = sorted(set(_names(code_of(function))))
    variables = getattr(function, "__globals__", {})
    for name in names:
        if name in variables:
            yield f"{name}={_value(variables[name], seen)}"
    for name, cell in zip(code_of(function).co_freevars, getattr(function, "__closure__", None) or (), strict=True):
        try:
            yield f"{name}={_value(cell.cell_contents, seen)}"
        except ValueError:  # not assigned yet
            yield f"{name}="


def _mounted(mounts: Mounts) -> Iterator[str]:
    for file in module_mounts(mounts):
        yield f"module {file.path} {file.blob_id}"
    for mounted, files in mounted_files(mounts):
        for file in files:
            yield f"{mounted.remote} {file.path} {file.link or file.blob_id} {file.executable}"


def _source(function: Callable[..., Any]) -> str:
    import inspect  # noqa: PLC0415 - start-up cost: only for images with such a step

    try:
        return _without_comments(textwrap.dedent(inspect.getsource(code_of(function))))
    except (OSError, TypeError):
        code = code_of(function)
        return repr((code.co_code, [item for item in code.co_consts if not isinstance(item, types.CodeType)]))


def _without_comments(source: str) -> str:
    import tokenize  # noqa: PLC0415 - start-up cost: only for images with such a step

    lines = source.splitlines()
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):  # a lambda, cut out of the expression that it is part of
        return source
    empty: set[int] = set()
    for token in tokens:
        if token.type == tokenize.COMMENT:
            row, column = token.start[0] - 1, token.start[1]
            lines[row] = lines[row][:column].rstrip()
            if not lines[row]:
                empty.add(row)
    return "\n".join(line for row, line in enumerate(lines) if row not in empty)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _value(value: Any, seen: set[int]) -> str:
    """Return a text that is the same for equal values, on any machine."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return repr(value)
    if isinstance(value, types.ModuleType):
        return f"module {value.__name__}"
    if isinstance(value, types.FunctionType):
        own = value.__module__ == "__main__" or not _is_library(value)
        return "\0".join(_described(value, seen)) if own and id(value) not in seen else f"function {value.__qualname__}"
    if isinstance(value, type):
        return f"class {value.__module__}.{value.__qualname__}"
    # Handles (apps, images, secrets) say nothing about what the function does.
    if type(value).__module__.partition(".")[0] == "wherry" or id(value) in seen:
        return type(value).__name__
    return _container(value, seen)


def _container(value: Any, seen: set[int]) -> str:
    seen = {*seen, id(value)}
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}[{','.join(_value(item, seen) for item in value)}]"
    if isinstance(value, Mapping):
        rows = sorted(f"{_value(key, seen)}:{_value(item, seen)}" for key, item in value.items())
        return f"{{{','.join(rows)}}}"
    if isinstance(value, Set):
        return f"set({','.join(sorted(_value(item, seen) for item in value))})"
    try:
        return hashlib.sha256(pickling.dumps(value, by_reference=True)).hexdigest()
    except pickling.UNPICKLABLE:
        return type(value).__qualname__


def _is_library(function: types.FunctionType) -> bool:
    path = function.__code__.co_filename
    return "site-packages" in path or "dist-packages" in path or path.startswith("<frozen")
