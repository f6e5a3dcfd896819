"""Functions that return and raise: each is run in plain Python and in a container, and compared.

That is each whose name has no underscore in front; see tests/acceptance/test_differential.py. None imports Wherry.
"""

import asyncio
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import json
import pathlib
import re
import subprocess
import sys
import threading
import time
import types
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

# Values


class _Color(enum.Enum):
    RED = "r"


class _Flags(enum.Flag):
    A = 1
    B = 2


class _Pair(NamedTuple):
    left: int
    right: str = "r"


@dataclasses.dataclass(frozen=True, slots=True)
class _Point:
    x: int
    y: float = 0.5


class _Slotted:
    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = [1]

    def __repr__(self) -> str:
        return f"_Slotted({self.a})"


class _Reduced:
    def __init__(self, *args: int) -> None:
        self.args = args

    def __reduce__(self) -> Any:
        return _Reduced, self.args

    def __repr__(self) -> str:
        return f"_Reduced{self.args}"


def numbers() -> Any:
    return [0, -1, 2**200, 1.5, float("inf"), float("nan"), -0.0, 1e-320, 3 + 4j, True, None]


def texts() -> Any:
    return ["", "näïve \u4e2d\U0001f600", "\ud800", "a\0b", b"\xff\0", bytearray(b"x"), "line\nline"]


def containers() -> Any:
    return [(1, [2, {3: {4}}]), frozenset({1}), {"b": 1, "a": 2}, [[]] * 2, range(0, 9, 2), slice(1, None), ...]


def cycles() -> Any:
    items: list[Any] = [1]
    items.append(items)
    return items, {"self": items}


def deep() -> Any:
    found: list[Any] = []
    for _ in range(150):
        found = [found]
    return found


def times() -> Any:
    zone = datetime.timezone(datetime.timedelta(hours=2), "here")
    return datetime.datetime(2024, 2, 29, 12, tzinfo=zone), datetime.date(1, 1, 1), datetime.timedelta(-1, 5)


def exact_numbers() -> Any:
    return decimal.Decimal("1.10"), fractions.Fraction(1, 3), uuid.UUID(int=7)


def collected() -> Any:
    ring = collections.deque([1, 2], maxlen=2)
    return collections.Counter("aab"), ring, collections.OrderedDict(b=1), collections.defaultdict(list, {1: [2]})


def own_types() -> Any:
    return _Color.RED, _Flags.A | _Flags.B, _Pair(1), _Point(1), _Slotted(), _Reduced(1, 2), types.SimpleNamespace(a=1)


def identities() -> Any:
    return _Color.RED, _Point, int, len, json.dumps, NotImplemented


def paths_and_patterns() -> Any:
    return pathlib.PurePosixPath("/a/b"), re.compile("a+", re.IGNORECASE)


def a_lambda() -> Any:
    base = 40
    return lambda: base + 2


def a_partial() -> Any:
    return functools.partial(int, "11", base=2)


def an_exception_as_value() -> Any:
    error = ValueError("returned", 1)
    error.add_note("a note")
    return error.args, type(error), error.__notes__


def shared_parts() -> Any:
    inner = [1]
    value = {"a": inner, "b": inner}
    value["b"].append(2)
    return value


def nothing() -> None:
    pass


def unpicklable() -> Any:
    return threading.Lock()


# Errors


class _Own(Exception):
    def __init__(self, code: int, detail: str = "d") -> None:
        super().__init__(code, detail)
        self.code = code


class _Keyword(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class _Shown(Exception):
    def __str__(self) -> str:
        return "as it shows itself"


class _Base(BaseException):
    pass


def own_error() -> NoReturn:
    raise _Own(7)


def keyword_error() -> NoReturn:
    raise _Keyword(code=3)


def shown_error() -> NoReturn:
    raise _Shown("args")


def a_class_as_error() -> NoReturn:
    raise ValueError


def base_error() -> NoReturn:
    raise _Base("base")


def attributes() -> NoReturn:
    error = RuntimeError("with attributes")
    error.response = {"status": 500}  # type: ignore[attr-defined]
    raise error


def notes() -> NoReturn:
    error = ValueError("noted")
    error.add_note("first")
    error.add_note("second\nline")
    raise error


def causes() -> NoReturn:
    try:
        {}["missing"]
    except KeyError as error:
        raise _Own(1) from error


def contexts() -> NoReturn:
    try:
        int("x")
    except ValueError:
        raise LookupError("meanwhile")  # noqa: B904


def suppressed() -> NoReturn:
    try:
        int("x")
    except ValueError:
        raise LookupError("alone") from None


def in_finally() -> NoReturn:
    try:
        raise ValueError("first")
    finally:
        raise KeyError("second")


def groups() -> NoReturn:
    errors: list[Exception] = []
    for kind in (ValueError, TypeError):
        try:
            raise kind(kind.__name__)
        except (ValueError, TypeError) as error:
            errors.append(error)
    raise ExceptionGroup("both", [*errors, ExceptionGroup("inner", [_Own(2)])])


def unhandled_rest() -> None:
    try:
        raise ExceptionGroup("g", [ValueError(1), KeyError(2)])
    except* ValueError:
        pass


def no_file() -> NoReturn:
    open("/nowhere/at/all")  # noqa: SIM115
    raise AssertionError


def division() -> float:
    return 1 // 0


def name_missing() -> Any:
    return missing_name  # type: ignore[name-defined]  # noqa: F821


def attribute_missing() -> Any:
    return _Point(1).z  # type: ignore[attr-defined]


def module_missing() -> Any:
    import no_such_module_anywhere  # type: ignore[import-not-found]

    return no_such_module_anywhere


def assertion() -> None:
    x = 2
    assert x == 3, f"x is {x}"


def syntax() -> Any:
    return compile("a b", "typed", "exec")


def bad_json() -> Any:
    return json.loads("{")


def bad_unicode() -> str:
    return b"ab\xff".decode()


def child_fails() -> None:
    subprocess.run(["sh", "-c", "echo out; exit 3"], check=True, capture_output=True)


def timed_out() -> NoReturn:
    raise TimeoutError(110, "took too long")


def recursion() -> Any:
    return recursion()


def through_lambda() -> Any:
    divide = lambda x: 1 // x  # noqa: E731
    return [divide(x) for x in (1, 0)]


def through_generator() -> Any:
    def inner() -> Iterator[int]:
        yield 1
        raise _Own(5)

    return sum(inner())


def stop_in_generator() -> Any:
    def inner() -> Iterator[int]:
        raise StopIteration(1)  # noqa: PLR1708
        yield 1

    return list(inner())


def again() -> NoReturn:
    try:
        raise _Own(6)
    except _Own:
        time.sleep(0)
        raise


def in_thread_of_a_pool() -> Any:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(division).result()


def exits() -> NoReturn:
    sys.exit("bad option")


def exits_with_code() -> NoReturn:
    raise SystemExit(3)


def stops() -> NoReturn:
    raise StopIteration("value")


def interrupted() -> NoReturn:
    raise KeyboardInterrupt


def cancelled() -> NoReturn:
    raise asyncio.CancelledError("there")
