"""Errors. Checked, never executed."""

from typing import assert_type

import wherry

try:
    wherry.FunctionCall.from_id("fc-1").get()
except wherry.exception.NotFoundError as error:
    shown: wherry.Error = error
except wherry.Error as error:
    assert_type(error, wherry.Error)
