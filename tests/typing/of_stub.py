"""`Stub` is `App` under its old name. Checked, never executed."""

from typing import assert_type

import wherry

stub = wherry.Stub("types")
assert_type(stub, wherry.App)


@stub.function()
def plain(a: int) -> float:
    return a / 2


assert_type(plain.remote(1), float)
