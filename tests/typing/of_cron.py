"""Times by which functions run. Checked, never executed."""

from typing import assert_type

import wherry

app = wherry.App("types")
assert_type(wherry.Cron("0 * * * *", timezone="Europe/Berlin"), wherry.Cron)
app.function(schedule=wherry.Cron("0 * * * *"))
app.function(schedule="0 * * * *")  # type: ignore[arg-type]
wherry.Cron(5)  # type: ignore[arg-type]
