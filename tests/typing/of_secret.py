"""Secrets. Checked, never executed."""

from typing import assert_type

import wherry

assert_type(wherry.Secret.from_name("a"), wherry.Secret)
assert_type(wherry.Secret.from_dict({"A": "1", "B": None}), wherry.Secret)
assert_type(wherry.Secret.from_local_environ(["A"]), wherry.Secret)
assert_type(wherry.Secret.create_deployed("x", {"A": "1"}), str)
assert_type(wherry.Secret.from_name("a").name, str | None)
wherry.Secret.from_dict({"A": 1})  # type: ignore[dict-item]


async def awaiting() -> None:
    assert_type(await wherry.Secret.lookup.aio("x"), wherry.Secret)
    assert_type(await wherry.Secret.objects.delete.aio("x"), None)
