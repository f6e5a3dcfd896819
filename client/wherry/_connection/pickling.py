"""Values to bytes and back."""

import io
import pickle
import sys
from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import Any, BinaryIO

from wherry import exception
from wherry._base.code import importable_name
from wherry._base.words import with_article

PROTOCOL = 5
# Byte code differs from one minor version to the next.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# What is larger goes to the service as a blob; by its own account, it is pickled straight into a file.
INLINE_LIMIT = 1 << 20
_PLAIN = frozenset((int, float, str, bytes, bool, type(None), complex))
# What pickling raises for a value, its own `__reduce__` included; an OSError or one of ours has other causes.
UNPICKLABLE = (
    pickle.PicklingError,
    TypeError,
    AttributeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AssertionError,
    BufferError,
    ImportError,
    RuntimeError,
)


def dumps(value: Any, by_reference: bool) -> bytes:
    """Pickle a value.

    `by_reference`: what is defined in `__main__` is named, since `__main__` is in the shipped source; otherwise it
    travels by value. Raises whatever pickling raises.
    """
    if by_reference:
        try:
            return pickle.dumps(value, PROTOCOL)
        except UNPICKLABLE:
            buffer = io.BytesIO()
            _dump_what_has_no_name(value, Flat(buffer))
            return buffer.getvalue()
    if _is_plain(value, 3):
        return pickle.dumps(value, PROTOCOL)
    buffer = io.BytesIO()
    _dump_for_anyone(value, Flat(buffer))
    return buffer.getvalue()


def dumps_by_value(value: Any, module: ModuleType | None = None) -> bytes:
    """Pickle a value with what defines it, where its module is not shipped. Raises whatever pickling raises.

    `module`: what is in it is sent as well, where it was made by hand and has no file. Whoever reads it must know by
    which Python it was made: it does not say.
    """
    import cloudpickle  # noqa: PLC0415 - start-up cost: only where pickle can't do it

    buffer = io.BytesIO()
    name = getattr(module, "__name__", None)
    is_made = name not in (None, "__main__", "builtins") and not getattr(module, "__file__", None)
    if is_made and name not in cloudpickle.list_registry_pickle_by_value():
        cloudpickle.register_pickle_by_value(module)
        try:
            cloudpickle.dump(value, Flat(buffer), PROTOCOL)
        finally:
            cloudpickle.unregister_pickle_by_value(module)
    else:
        cloudpickle.dump(value, Flat(buffer), PROTOCOL)
    return buffer.getvalue()


def _dump_what_has_no_name(value: Any, file: Any) -> None:
    """Pickle lambdas and local functions by value, and what `__main__` has at its top level still by its name.

    By value its classes would be others where they arrive: no `isinstance` would know them.
    """
    main, pickler = sys.modules["__main__"], checked_pickler()

    class ByName(pickler):  # type: ignore[misc, valid-type]
        def reducer_override(self, item: Any) -> Any:
            kind = type(item)
            if (kind is FunctionType or issubclass(kind, type)) and _is_at(main, item):
                return NotImplemented  # pickle itself names it
            return super().reducer_override(item)

    ByName(file, PROTOCOL).dump(value)


def _dump_for_anyone(value: Any, file: Any) -> None:
    """Pickle a value with what `__main__` defines, for those who have not that module; who has it, uses its own."""
    main, name, pickler = sys.modules["__main__"], importable_name("__main__"), checked_pickler()

    class ForAnyone(pickler):  # type: ignore[misc, valid-type]
        def reducer_override(self, item: Any) -> Any:
            kind = type(item)
            if (kind is FunctionType or issubclass(kind, type)) and name != "__main__" and _is_at(main, item):
                by_value = io.BytesIO()
                pickler(by_value, PROTOCOL).dump(item)
                return own_or, (name, item.__qualname__, by_value.getvalue())
            return super().reducer_override(item)

    ForAnyone(file, PROTOCOL).dump(value)


def checked_pickler() -> Any:
    """Return cloudpickle's pickler, with byte code that says which Python can run it."""
    import cloudpickle  # noqa: PLC0415 - start-up cost: only where pickle can't do it

    class Checked(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, item: Any) -> Any:
            if type(item) is CodeType:
                _, parts, *_ = self.dispatch_table[CodeType](item)
                return code_of, (PYTHON, *parts)
            return super().reducer_override(item)

    return Checked


def code_of(python: str, *parts: Any) -> CodeType:
    """Return the byte code that these make in that Python; raise DeserializationError in another: it might crash."""
    if python != PYTHON:
        raise exception.DeserializationError(
            f"a function, or a class, was sent as byte code of Python {python}, and this is Python {PYTHON}: use the "
            f'same on both sides, for example image=wherry.Image.debian_slim("{python}"), or define it at the top '
            "level of a module that both have"
        )
    return CodeType(*parts)


def own_or(module_name: str, qualname: str, by_value: bytes) -> Any:
    """Return what this process's module has under that name; where it has no such module, what has travelled."""
    found: Any = sys.modules.get(module_name)
    if found is None and importable_name("__main__") == module_name:
        found = sys.modules["__main__"]
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type | FunctionType) else pickle.loads(by_value)


def _is_at(module: Any, item: Any) -> bool:
    """Whether a class or function is what this module has under its name."""
    if getattr(item, "__module__", None) != module.__name__:
        return False
    found = module
    for part in item.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is item


def dump(value: Any, file: BinaryIO, by_reference: bool) -> None:
    """Pickle a value into a file; large bytes are written without being copied. As `dumps` otherwise."""
    start = file.tell()
    flat = Flat(file)
    if by_reference or _is_plain(value, 3):
        try:
            pickle.dump(value, flat, PROTOCOL)
            return
        except UNPICKLABLE:
            file.seek(start)
            file.truncate()
    (_dump_what_has_no_name if by_reference else _dump_for_anyone)(value, flat)


class Flat:
    """A file for picklers. From 64 KiB on they pass the object itself, and files refuse one that holds its columns one
    after the other."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        return self._file.write(data if type(data) is bytes else pickle.PickleBuffer(data).raw())


def is_large(arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> bool:
    """Whether one of the arguments takes more than 1 MiB by its own account."""
    args, kwargs = arguments
    for value in args:
        if _size(value) > INLINE_LIMIT:
            return True
    return any(_size(value) > INLINE_LIMIT for value in kwargs.values()) if kwargs else False


def unpicklable(arguments: tuple[tuple[Any, ...], dict[str, Any]], function: str, error: Exception) -> Exception:
    """Return the SerializationError for arguments that could not be pickled: it names the one at fault."""
    args, kwargs = arguments
    named = [*((f"argument {number}", value) for number, value in enumerate(args, 1)), *kwargs.items()]
    for name, value in named:
        try:
            dumps(value, True)
        except Exception as at_fault:  # noqa: BLE001 - pickling runs code of the value's own, which may raise anything
            shown = name if name.startswith("argument ") else f"argument {name!r}"
            return exception.SerializationError(
                f"{shown} of {function} can't be sent: {_kind(value)} can't be pickled ({at_fault}); "
                "pass plain data instead, and open or make the object inside the function"
            )
    return exception.SerializationError(f"the arguments of {function} can't be pickled: {error}")


def loads(data: bytes) -> Any:
    """Unpickle a value; raise DeserializationError that names what is missing."""
    return reading(lambda: pickle.loads(data))


def load(file: BinaryIO) -> Any:
    """As `loads`, from a file; large bytes are read straight into their place."""
    return reading(lambda: pickle.load(file))


def reading(read: Callable[[], Any]) -> Any:
    """Return what a reader of a pickle returns; raise DeserializationError that names what is missing."""
    try:
        return read()
    except ModuleNotFoundError as error:
        raise exception.DeserializationError(
            f"the value can't be read here: its type is defined in module {error.name!r}, which is not installed here; "
            f"install it, or return plain data"
        ) from error
    except TimeoutError:
        raise  # of a signal's handler: reading takes no time of its own
    except (Exception, SystemExit, GeneratorExit) as error:
        raise exception.DeserializationError(
            f"the value can't be read here: {type(error).__name__}: {error}"
        ) from error


def _is_plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in _PLAIN:
        return True
    if depth and (kind is tuple or kind is list):
        return len(value) <= 1000 and all(_is_plain(item, depth - 1) for item in value)
    if depth and kind is dict:
        return len(value) <= 1000 and all(
            _is_plain(key, 1) and _is_plain(item, depth - 1) for key, item in value.items()
        )
    return False


def _size(value: Any) -> int:
    kind = type(value)
    if kind in _PLAIN:
        return sys.getsizeof(value)
    try:
        size = getattr(value, "nbytes", None)  # arrays and memory views
        return size if isinstance(size, int) else sys.getsizeof(value)
    except Exception:  # noqa: BLE001 - a value's own attribute may raise anything; its size is only a hint
        return 0


def _kind(value: Any) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{with_article(name).partition(' ')[0]} {name!r} object"
