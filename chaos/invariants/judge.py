"""All invariants."""

from chaos.invariants import (
    deploys,
    dicts,
    errors,
    generators,
    leftovers,
    maps,
    queues,
    sandboxes,
    schedules,
    spawned,
    volumes,
    waits,
    web,
)
from chaos.invariants.evidence import Evidence, Verdict

_CHECKS = (
    maps.check, spawned.check, generators.check, queues.check, dicts.check, volumes.check, web.check, sandboxes.check,
    schedules.check, deploys.check, waits.check, leftovers.check,
)  # fmt: skip


def judge(evidence: Evidence) -> list[Verdict]:
    """Return what each invariant found."""
    verdicts = [check(evidence) for check in _CHECKS]
    excused = [one for verdict in verdicts for one in verdict.excused]
    return [*verdicts, errors.check(evidence, excused)]
