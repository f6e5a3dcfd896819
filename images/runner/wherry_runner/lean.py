"""Loads what Python itself has, without what that draws in."""

import sys


def load_pickle() -> None:
    """Load `_pickle`, the C half of pickle, of which the runner needs no more.

    It takes `partial` from functools, whose C half has that. All of functools, with collections and types, would be
    0.4 MiB and 2.4 ms of every start; user code that imports it gets it as ever.
    """
    if "functools" in sys.modules or "_pickle" in sys.modules:
        return
    import _functools  # type: ignore[import-not-found]  # noqa: PLC0415 - start-up cost: nothing where it is not needed

    if not hasattr(_functools, "partial"):
        return
    sys.modules["functools"] = _functools
    try:
        import _pickle  # noqa: F401, PLC0415 - as above
    finally:
        del sys.modules["functools"]
