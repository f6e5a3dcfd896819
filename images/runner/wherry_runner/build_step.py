"""`python3 /wherry/runner/wherry_runner/build_step.py DIRECTORY`: runs the function of `Image.run_function`, once.

DIRECTORY has step.json (a `load` frame), function.pkl and arguments.pkl where there are such, secrets.json, and the
user's source below source/. Exit code 0 when the function has returned, 1 when it raised.
"""

import json
import os
import sys

# As in __main__.
AGAIN = "again"


def main() -> None:
    directory = sys.argv[1]
    _fix_path(os.path.join(directory, "source"), "/wherry/sdk")
    from wherry_runner import context  # noqa: PLC0415 - found from here on: the path is mended first

    context.in_container = True
    context.directory = directory
    # Not by the engine: what a container is made with stays in the image.
    os.environ["MODAL_IS_REMOTE"] = "1"
    with open(os.path.join(directory, "step.json"), encoding="utf-8") as file:
        frame = json.load(file)
    from wherry_runner.loader import set_variables  # noqa: PLC0415 - as above

    if set_variables(frame, _read(directory, "secrets.json"), AGAIN not in sys.argv):
        os.execv(sys.executable, [sys.executable, os.path.abspath(__file__), directory, AGAIN])
    try:
        _run(frame, directory)
    except BaseException as error:  # noqa: BLE001 - it is the user's code that failed, and the process that ends
        _report(error)
        sys.stdout.flush()
        os._exit(1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _run(frame: dict, directory: str) -> None:  # type: ignore[type-arg]  # typing is not needed for one word
    from wherry_runner.loader import load  # noqa: PLC0415 - as above

    if os.getcwd() == "/" and os.access("/root", os.R_OK | os.X_OK):
        # As functions have it; their source is not put there: it would be in the image.
        os.chdir("/root")
    function = load(frame, _read(directory, "function.pkl"), os.path.join(directory, "source"))
    args, kwargs = (), {}
    if arguments := _read(directory, "arguments.pkl"):
        import pickle  # noqa: PLC0415 - start-up cost: 3 ms, only for functions with arguments

        args, kwargs = pickle.loads(arguments)
    result = function(*args, **kwargs)
    if hasattr(result, "__await__"):
        import asyncio  # noqa: PLC0415 - start-up cost: 37 ms, only for coroutine functions

        async def wait() -> None:
            await result

        asyncio.run(wait())


def _read(directory: str, name: str) -> bytes:
    try:
        with open(os.path.join(directory, name), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _report(error: BaseException) -> None:
    from wherry_runner.failures import text_of  # noqa: PLC0415 - start-up cost: 9 ms, only for failures

    print(text_of(error), file=sys.stderr, flush=True)


def _fix_path(source: str, sdk: str) -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == here:
        del sys.path[0]
    sys.path.insert(0, os.path.dirname(here))
    import wherry_runner  # noqa: F401, PLC0415  # from here on the package finds its own modules, whatever the path says

    sys.path[:1] = [source, "/root"]
    sys.path.append(sdk)


if __name__ == "__main__":
    main()
