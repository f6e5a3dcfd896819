"""Connections to a service. Checked, never executed."""

from typing import Any, assert_type

import wherry


def connected(client: wherry.Client) -> None:
    assert_type(wherry.Client.from_env(), wherry.Client)
    assert_type(wherry.Function.from_name("a", "f", client=client).remote(), Any)
    wherry.App.lookup("a", client=client)
    wherry.App.lookup("a", client="here")  # type: ignore[arg-type]
