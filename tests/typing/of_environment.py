"""Environments. Checked, never executed."""

from typing import assert_type

import wherry

environment = wherry.Environment.from_name("a", create_if_missing=True)
assert_type(environment, wherry.Environment)
assert_type(environment.name, str)
assert_type(environment.apps.list(), list[wherry.App])
wherry.Environment.from_name("a", create_if_missing="yes")  # type: ignore[arg-type]
