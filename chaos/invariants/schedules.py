"""Each tick is run once; one is missed only while the service was away, and then the newest is run."""

import itertools
from collections import Counter

from chaos.functions import PERIOD_S
from chaos.invariants.evidence import Evidence, Verdict, first_of

# Ticks whose run may not have ended yet when all was stopped.
_LAST = 3


def check(evidence: Evidence) -> Verdict:
    """Check what the database says was run against what did run."""
    verdict = Verdict("schedules", "")
    ticks = sorted(evidence.ticks)
    calls = [call for _, call in ticks if call]
    twice = [call for call, count in Counter(calls).items() if count > 1]
    if twice:
        verdict.violations.append(f"one call for several ticks: {first_of(twice)}")
    for (earlier, _), (later, _) in itertools.pairwise(ticks):
        if (later - earlier) % (PERIOD_S * 1000) or later == earlier:
            verdict.violations.append(f"ticks {later - earlier} ms apart")
    ran = {}
    for one in evidence.of("last", "entries"):
        if one.did and one.asked["dict"] == "chaos-ticks":
            ran = dict(one.answer["entries"])
    foreign = sorted(set(ran) - set(calls))
    if foreign:
        verdict.violations.append(f"{len(foreign)} ran without a tick: {first_of(foreign)}")
    never = [call for call in calls[:-_LAST] if call not in ran]
    if never:
        verdict.violations.append(f"{len(never)} ticks are done whose function did not run: {first_of(never)}")
    verdict.found = f"{len(calls)} ticks, {len(ran)} ran"
    return verdict
