"""Nothing hangs: whatever is asked for goes on or is answered within a time, and everybody ends when told to."""

from chaos.faults.fault import Happened
from chaos.invariants.evidence import SERVICE_AWAY, Evidence, Verdict
from chaos.journal import Operation

# Beside the time in which there can be no service.
DEADLINE_S = 60.0
# A service that was killed or stopped is back after so long, on a machine that has much else to do.
_START_S = 20.0
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
        waited -= _away(evidence, one.asked_at, one.ended_at)
        if waited > longest:
            longest, slowest = waited, one
        if waited > DEADLINE_S:
            verdict.violations.append(
                f"{one.client} {one.what} {one.asked} took {waited:.0f} s more than the service was away"
            )
    for name, where in evidence.hung.items():
        verdict.violations.append(f"{name} did not end when told to:\n{where}")
    told = f"{longest:.1f} s ({slowest.client} {slowest.what})" if slowest is not None else "nothing"
    verdict.found = f"longest: {told}"
    return verdict


def _away(evidence: Evidence, since: float, until: float) -> float:
    """Return for how much of a time there can have been no service."""
    total, counted = 0.0, since
    for fault in sorted(evidence.faults, key=lambda fault: fault.at):
        if fault.kind in SERVICE_AWAY:
            back = (fault.until if fault.until is not None else fault.at) + _START_S
            begin, end = max(fault.at, counted), min(back, until)
            if end > begin:
                total, counted = total + end - begin, end
    return total


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
