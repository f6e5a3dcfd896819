"""What `import wherry` finds first in Python processes that code in a container starts: it leads to the SDK.

Their PYTHONPATH ends with this directory. The SDK itself can't be there: its own dependencies would come before those
that the image has. So it goes to the end of the path, as in the container's first process, and is imported then.
"""

import os
import sys


def _lead() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [place for place in sys.path if os.path.abspath(place) != here]
    sys.path.append(os.environ["WHERRY_CONTAINER"].partition(os.pathsep)[2])
    # The import system returns what it finds here afterwards.
    del sys.modules["wherry"]
    try:
        import wherry  # noqa: F401, PLC0415
    except ImportError as error:
        if "bad magic number" not in str(error):
            raise
        version = ".".join(map(str, sys.version_info[:2]))
        raise ImportError(
            f"wherry is not there for Python {version}, only for the container's own python3: "
            "start that one, or install wherry where this one finds its packages"
        ) from None


_lead()
