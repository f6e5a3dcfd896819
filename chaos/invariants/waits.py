"""Nothing hangs: whatever is asked for goes on or is answered within a time, and everybody ends when told to."""

from chaos.faults.fault import Happened
from chaos.invariants.evidence import Evidence, Verdict
from chaos.journal import Operation

# Clients wait 120 s for a service that is away; none is away for so long here.
DEADLINE_S = 90.0
_KILLS = ("service killed", "service killed again while it starts")
# What a pending call can be answered within though the service is dead: it was under way.
_UNDER_WAY_S = 0.05


def check(evidence: Evidence) -> Verdict:
    """Check how long everything took, and how long the service was away for one who waits."""
    verdict = Verdict("waits", "")
    slowest: Operation | None = None
    longest = 0.0
    for one in evidence.operations:
        if one.ended_at is None:
            continue
        # Of an answer in parts: the last wait.
        waited = one.ended_at - one.asked_at if one.what != "map" else 0.0
        if waited > longest:
            longest, slowest = waited, one
        if waited > DEADLINE_S:
            verdict.violations.append(f"{one.client} {one.what} {one.asked} took {waited:.0f} s")
    for name, where in evidence.hung.items():
        verdict.violations.append(f"{name} did not end when told to:\n{where}")
    times = recoveries(evidence)
    if times and times[-1] > DEADLINE_S:
        verdict.violations.append(f"the service was away for {times[-1]:.0f} s after a kill")
    told = f"{longest:.1f} s ({slowest.client} {slowest.what})" if slowest is not None else "nothing"
    verdict.found = f"longest: {told}"
    return verdict


def recoveries(evidence: Evidence) -> list[float]:
    """Return how long after each kill of the service the lone caller had its next answer, sorted."""
    answered = sorted(one.ended_at for one in evidence.of("lone") if one.did and one.ended_at is not None)
    kills: list[Happened] = [fault for fault in evidence.faults if fault.kind in _KILLS]
    found = []
    for kill in kills:
        # The last of the kills, where one fault is two.
        since = kill.until or kill.at
        after = [at - since for at in answered if at > since + _UNDER_WAY_S]
        if after:
            found.append(min(after))
    return sorted(found)
