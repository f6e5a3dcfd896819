"""Distances in time at which functions run. Checked, never executed."""

from typing import assert_type

import wherry

app = wherry.App("types")
assert_type(wherry.Period(hours=1, seconds=0.5), wherry.Period)
app.function(schedule=wherry.Period(days=1))
app.function(schedule=5)  # type: ignore[arg-type]
wherry.Period(hours="1")  # type: ignore[arg-type]
