"""Probes of sandboxes. Checked, never executed."""

from typing import assert_type

import wherry

wherry.Sandbox.create("a", readiness_probe=wherry.Probe.with_tcp(8000))
wherry.Sandbox.create("a", readiness_probe="tcp")  # type: ignore[arg-type]
assert_type(wherry.Probe.with_exec("true"), wherry.Probe)
