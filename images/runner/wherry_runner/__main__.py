"""`python3 /wherry/runner/wherry_runner/__main__.py [DIRECTORY [SDK]]`: the command of every function container."""

import os
import site
import sys

# What the process is told that has taken another's place: once is enough, even where Python changes a variable itself.
AGAIN = "again"


def main() -> None:
    directory = sys.argv[1] if len(sys.argv) > 1 else "/run/wherry"
    sdk = sys.argv[2] if len(sys.argv) > 2 else "/wherry/sdk"
    fix_path(os.path.join(directory, "source"), sdk)
    from wherry_runner import context  # noqa: PLC0415 - found from here on: the path is mended first
    from wherry_runner.runner import Runner  # noqa: PLC0415 - as above

    context.in_container = True
    context.directory = directory
    context.sdk = sdk
    # In any other directory this is no container, but a test on somebody's machine.
    context.settles = directory == "/run/wherry"

    def begin_again() -> None:
        os.execv(sys.executable, [sys.executable, os.path.abspath(__file__), directory, sdk, AGAIN])

    runner = Runner(directory, None if AGAIN in sys.argv else begin_again)
    try:
        code = runner.run()
    except BaseException as error:
        runner.report_fault(error)
        raise
    # Not sys.exit: what user code has left running (threads, say) can't hold the container up.
    os._exit(code)


def fix_path(source: str, sdk: str) -> None:
    """User code comes first, then what the user installed, the SDK last."""
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == here:
        del sys.path[0]
    sys.path.insert(0, os.path.dirname(here))
    import wherry_runner  # noqa: F401, PLC0415  # from here on the package finds its own modules, whatever the path says

    sys.path[0] = source
    if os.getuid():
        _add_user_site()
    sys.path.append(sdk)


def _add_user_site() -> None:
    """Have what `pip install` puts into the home directory be found, also what is put there later."""
    packages = site.getusersitepackages()
    if packages in sys.path:
        return
    try:
        # A directory that is not there when it is first looked into is not looked into again.
        os.makedirs(packages, exist_ok=True)
    except OSError:
        return
    ends = ("site-packages", "dist-packages")
    places = [index for index, path in enumerate(sys.path) if path.endswith(ends)]
    sys.path.insert(places[0] if places else len(sys.path), packages)


if __name__ == "__main__":
    main()
