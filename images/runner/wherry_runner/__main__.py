"""`python3 /wherry/runner/wherry_runner/__main__.py [DIRECTORY [SDK]]`: the command of every function container."""

import os
import sys


def main() -> None:
    directory = sys.argv[1] if len(sys.argv) > 1 else "/run/wherry"
    sdk = sys.argv[2] if len(sys.argv) > 2 else "/wherry/sdk"
    _fix_path(os.path.join(directory, "source"), sdk)
    from wherry_runner import context
    from wherry_runner.runner import Runner

    context.in_container = True
    context.directory = directory
    runner = Runner(directory)
    try:
        code = runner.run()
    except BaseException as error:
        runner.report_fault(error)
        raise
    # Not sys.exit: what user code has left running (threads, say) can't hold the container up.
    os._exit(code)


def _fix_path(source: str, sdk: str) -> None:
    """User code comes first, then what the user installed, the SDK last."""
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == here:
        del sys.path[0]
    sys.path.insert(0, os.path.dirname(here))
    import wherry_runner  # noqa: F401  # from here on the package finds its own modules, whatever the path says

    sys.path[0] = source
    sys.path.append(sdk)


if __name__ == "__main__":
    main()
