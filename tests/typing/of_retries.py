"""Retries. Checked, never executed."""

from typing import assert_type

import wherry

app = wherry.App("types")
assert_type(wherry.Retries(max_retries=3, backoff_coefficient=2.0, initial_delay=1.0), wherry.Retries)
app.function(retries=wherry.Retries(max_retries=3))
app.function(retries=3)
app.function(retries="3")  # type: ignore[arg-type]
wherry.Retries(max_retries="3")  # type: ignore[arg-type]
