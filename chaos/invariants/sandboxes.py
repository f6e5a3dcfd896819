"""A sandbox does what it is told, also over a service that dies; only one that was killed itself is gone.

What was connected when the service died is cut, as is documented: an exec that runs goes on, and its process object
raises ConnectionError.
"""

from chaos.invariants.evidence import Evidence, Verdict
from chaos.journal import Operation

# Seconds after which an engine that was started again does what it is told.
ENGINE_BACK_S = 10.0


def check(evidence: Evidence) -> Verdict:
    """Check what commands said and how they ended."""
    verdict = Verdict("sandboxes", "")
    killed = {name for fault in evidence.faults for name in fault.target.split() if name.startswith("sb-")}
    begun: dict[str, float] = {}
    ran = cut = 0
    for one in evidence.of("sandboxes"):
        if one.what == "create" and one.did:
            begun[str(one.answer["sandbox"])] = one.asked_at
        own = str(one.asked.get("sandbox", ""))
        # It went with the engine.
        gone = own in killed or _lost_engine(evidence, one, begun.get(own, one.asked_at))
        if one.failed and gone:
            verdict.excused.append(one)
        elif one.failed and one.what == "exec" and "ConnectionError" in one.error and evidence.was_cut_off(one):
            cut += 1
            verdict.excused.append(one)
        elif one.what == "exec" and one.did and not gone:
            ran += 1
            _check_exec(one, verdict)
    verdict.found = (
        f"{len(begun)} sandboxes, {ran} commands right, {cut} cut off with the service, {len(killed)} killed"
    )
    return verdict


def _lost_engine(evidence: Evidence, one: Operation, begun_at: float) -> bool:
    until = one.ended_at if one.ended_at is not None else float("inf")
    return any(f.kind == "engine killed" and f.overlaps(begun_at, until, ENGINE_BACK_S) for f in evidence.faults)


def _check_exec(one: Operation, verdict: Verdict) -> None:
    number = int(one.asked["number"])
    said, code = one.answer["said"], one.answer["code"]
    if (said, code) != (f"{number}\n", number + 1):
        verdict.violations.append(f"{one.asked['sandbox']}: command {number} said {said!r} and ended with {code}")
