"""Runs the functions of tests/cases/differential*.py in plain Python, and says what came of each.

`python -m tests.acceptance.plain_run FILE` writes it to the file, as JSON: {name: outcome}. An outcome has what the
function returned or yielded, as text; its error with all that hangs on it; and the lines that were printed.
"""

import asyncio
import functools
import inspect
import json
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cases import differential, differential_flow

ROOT = Path(__file__).parents[2]
FUNCTIONS = {
    name: value
    for module in (differential, differential_flow)
    for name, value in vars(module).items()
    if not name.startswith("_") and callable(value) and getattr(value, "__module__", "") == module.__name__
}


def kind_of(name: str) -> str:
    function = FUNCTIONS[name]
    if inspect.isasyncgenfunction(function):
        return "async_generator"
    if inspect.iscoroutinefunction(function):
        return "coroutine"
    return "generator" if inspect.isgeneratorfunction(function) else "plain"


def shown(value: Any) -> str:
    """Return a value as text; of a function what it returns."""
    if getattr(value, "__name__", "") == "<lambda>" or isinstance(value, functools.partial):
        return f"returns {value()!r}"
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))})"
    return _without_addresses(f"{type(value).__qualname__}: {value!r}")


def described(error: BaseException | None) -> dict[str, Any] | None:
    """Return an exception as it reads: itself, what hangs on it, and its frames in the file of functions."""
    if error is None:
        return None
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/cases/differential" in frame.filename]
    context = None if error.__suppress_context__ else error.__context__
    own = {name: value for name, value in vars(error).items() if name != "__notes__"}
    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "args": repr(error.args),
        "str": str(error),
        "attributes": repr(own),
        "notes": list(getattr(error, "__notes__", ())),
        "cause": described(error.__cause__),
        "context": described(context),
        "members": [described(one) for one in getattr(error, "exceptions", ())],
        "frames": [[frame.name, frame.lineno, frame.line] for frame in frames],
    }


def lines_of(text: str) -> list[str]:
    """Return what was printed, wherever it ran."""
    text = text.replace("/run/wherry/source", str(ROOT)).replace("/root/tests", f"{ROOT}/tests")
    # Python's own frames differ from one patch release to the next.
    text = re.sub(r'  File "[^"]*/lib/python3[^"]*".*\n(    .*\n)*', "", text)
    return _without_addresses(text).splitlines()


def _without_addresses(text: str) -> str:
    return re.sub("0x[0-9a-f]+", "0x1", text)


def _iterated(name: str) -> Iterator[Any]:
    with asyncio.Runner() as runner:
        values = FUNCTIONS[name]()
        try:
            while True:
                yield runner.run(anext(values))
        except StopAsyncIteration:
            return


def _outcome(name: str) -> dict[str, Any]:
    values, error = [], None
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        saved = os.dup(1), os.dup(2)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            if kind_of(name) == "plain":
                values.append(shown(FUNCTIONS[name]()))
            elif kind_of(name) == "coroutine":
                values.append(shown(asyncio.run(FUNCTIONS[name]())))
            else:
                for value in FUNCTIONS[name]() if kind_of(name) == "generator" else _iterated(name):
                    values.append(shown(value))
        except BaseException as raised:  # noqa: BLE001 - it is compared
            error = described(raised)
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in enumerate(saved, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(lines_of(file.read().decode(errors="replace")))
    return {"values": values, "error": error, "stdout": printed[0], "stderr": printed[1]}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps({name: _outcome(name) for name in FUNCTIONS}), encoding="utf-8")
