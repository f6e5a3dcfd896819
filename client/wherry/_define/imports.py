"""`with image.imports():` - modules that only the image has."""

import contextlib
from collections.abc import Iterator

from wherry.context import is_local


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Pass over a missing module on this machine; in a container it is an error."""
    try:
        yield
    except ImportError:
        if not is_local():
            raise
