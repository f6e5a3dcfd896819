"""A failed input to look at: `python3 …/wherry_runner/debug.py DIRECTORY MODE [CODE]`.

It runs in a container as the function's own. DIRECTORY has what the service keeps of the input: function.json and
arguments, and of some functions serialized and parameters. It imports the function as the runner does.
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from typing import Any

SOURCE = "/run/wherry/source"
SDK = "/wherry/sdk"
MODES = ("prompt", "pdb", "breakpoint", "run", "code")


class Failed:
    """What is there of a failed input: its function, as far as it can be imported, and its arguments."""

    def __init__(self, directory: str, source: str) -> None:
        self._directory = directory
        self._source = source
        with open(os.path.join(directory, "function.json"), encoding="utf-8") as file:
            self.facts: dict[str, Any] = json.load(file)
        self.function: Any = None
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}

    def load_function(self) -> None:
        """Import the function; raise whatever user code raises."""
        from wherry_runner.loader import load  # noqa: PLC0415 - found from here on: the path is mended first

        spec = self.facts["function"]
        target: Any = load({"function": spec}, self._bytes("serialized"), self._source)
        if spec["methods"]:
            from wherry_runner.classes import Instance  # noqa: PLC0415 - as above

            methods = Instance(target, self._bytes("parameters"), None).enter(spec["methods"])
            target = methods[self.facts["method"]][0]
        self.function = target

    def load_arguments(self) -> None:
        """Read the arguments; raise whatever user code raises."""
        data = self._bytes("arguments")
        if data:
            from wherry_runner.payload import Payloads  # noqa: PLC0415 - as above

            self.args, self.kwargs = Payloads(self._directory).read(self.facts["format"], None, data)

    def run(self) -> Any:
        """Run it: of a coroutine function to its end, of a generator to the list of what it yields."""
        args, kwargs = self.args, self.kwargs
        if self.facts["batched"]:
            # It takes lists: this input is alone in its batch.
            args, kwargs = tuple([one] for one in args), {name: [one] for name, one in kwargs.items()}
        value = self.function(*args, **kwargs)
        if hasattr(value, "__await__"):
            import asyncio  # noqa: PLC0415 - only for coroutine functions

            return asyncio.run(_awaited(value))
        if hasattr(value, "__aiter__"):
            import asyncio  # noqa: PLC0415 - as above

            return asyncio.run(_gathered(value))
        if hasattr(value, "__next__") and self.facts["is_generator"]:
            return list(value)
        return value

    def _bytes(self, name: str) -> bytes:
        try:
            with open(os.path.join(self._directory, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""


async def _awaited(value: Any) -> Any:
    return await value


async def _gathered(values: Any) -> list[Any]:
    return [one async for one in values]


class Session:
    """What somebody does with a failed input; each mode returns an exit code."""

    def __init__(self, failed: Failed) -> None:
        self._failed = failed
        self._names: dict[str, Any] = {"__name__": "__console__"}

    def begin(self, mode: str, code: str) -> int:
        """Load it, and do what the mode says."""
        failed = self._failed
        for what, load in (("function", failed.load_function), ("arguments", failed.load_arguments)):
            try:
                load()
            except BaseException as error:  # whatever user code raises as it is imported, SystemExit as well  # noqa: BLE001
                _show(error)
                print(f"Its {what} can't be loaded here: this may be why it failed.", file=sys.stderr)
                if mode in ("pdb", "breakpoint"):
                    _post_mortem(error)
                if mode != "prompt":
                    return 1
        self._names.update(
            args=failed.args, kwargs=failed.kwargs, function=failed.function, run=failed.run, debug=self.pdb
        )
        return int(getattr(self, mode)(code) or 0)

    def prompt(self, code: str) -> None:
        """Give a Python prompt."""
        from code import interact  # noqa: PLC0415 - only where there is a prompt

        try:
            import readline  # noqa: PLC0415 - as above: it is not in every Python
            import rlcompleter  # noqa: PLC0415 - as above

            readline.set_completer(rlcompleter.Completer(self._names).complete)
            readline.parse_and_bind("tab: complete")
        except ImportError:
            pass  # without history and completion
        facts = self._failed.facts
        interact(
            f"{facts['input_id']} of {facts['name']} failed: {facts['error']}\n"
            "args, kwargs and function are what it ran with. run() runs it again here, debug() runs it under pdb and "
            "stops where it raises.",
            local=self._names,
            exitmsg="",
        )

    def run(self, code: str = "") -> int:
        """Run it, and show its value or its traceback."""
        try:
            value = self._failed.run()
        except BaseException as error:  # whatever user code raises, SystemExit as well  # noqa: BLE001
            _show(error)
            return 1
        print(f"It did not fail here: it returned {value!r}.")
        return 0

    def pdb(self, code: str = "") -> int:
        """Run it to where it raises, and look around there."""
        try:
            value = self._failed.run()
        except BaseException as error:  # as above  # noqa: BLE001
            _show(error)
            _post_mortem(error)
            return 1
        print(f"It did not fail here: it returned {value!r}.")
        return 0

    def breakpoint(self, code: str) -> int:
        """Stop at its first line."""
        import pdb  # noqa: PLC0415 - only where somebody debugs

        debugger = pdb.Pdb(nosigint=True)
        place = _first_line(self._failed.function)
        if place is not None:
            debugger.rcLines += [f"tbreak {place[0]}:{place[1]}", "continue"]
        try:
            debugger.runcall(self._failed.run)
        except BaseException as error:  # as above  # noqa: BLE001
            _show(error)
            return 1
        return 0

    def code(self, code: str) -> int:
        """Run some code that has the same names."""
        try:
            exec(compile(code, "<code>", "exec"), self._names)
        except BaseException as error:  # as above  # noqa: BLE001
            _show(error)
            return 1
        return 0


def _show(error: BaseException) -> None:
    """Print an error with its traceback, without our own frames."""
    import traceback  # noqa: PLC0415 - only where something failed

    sys.stdout.flush()
    here = os.path.dirname(os.path.abspath(__file__))
    told = traceback.TracebackException.from_exception(error)
    waiting, seen = [told], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        own = [frame for frame in one.stack if not frame.filename.startswith((here, "<frozen"))]
        one.stack = traceback.StackSummary.from_list(own)
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
    print("".join(told.format()), end="", file=sys.stderr)


def _post_mortem(error: BaseException) -> None:
    import pdb  # noqa: PLC0415 - only where somebody debugs

    if error.__traceback__ is not None:
        pdb.post_mortem(error.__traceback__)


def _first_line(function: Any) -> tuple[str, int] | None:
    """Return the file and the line at which a function's own code begins."""
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        function = inner
    code = getattr(function, "__code__", None)
    if code is None or not os.path.exists(code.co_filename):
        return None
    lines = [line for _, _, line in code.co_lines() if line is not None and line > code.co_firstlineno]
    return (code.co_filename, lines[0]) if lines else None


def main() -> int:
    """Return the exit code."""
    directory, mode, code = (*sys.argv[1:], "", "")[:3]
    if mode not in MODES:
        print(f"the mode is {mode!r}, and should be one of {', '.join(MODES)}", file=sys.stderr)
        return 2
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == here:
        del sys.path[0]
    sys.path.insert(0, os.path.dirname(here))
    from wherry_runner.__main__ import fix_path  # noqa: PLC0415 - found from here on: the path is mended first

    del sys.path[0]
    fix_path(SOURCE, SDK)
    from wherry_runner import context  # noqa: PLC0415 - as above
    from wherry_runner.root import settle  # noqa: PLC0415 - as above

    context.in_container = True
    context.directory = "/run/wherry"
    context.sdk = SDK
    return Session(Failed(directory, settle(SOURCE))).begin(mode, code)


if __name__ == "__main__":
    sys.exit(main())
