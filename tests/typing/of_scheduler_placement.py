"""A place to run is accepted and means nothing here. Checked, never executed."""

from typing import assert_type

import wherry

assert_type(wherry.SchedulerPlacement(region="a"), wherry.SchedulerPlacement)
