"""A sandbox does what it is told, also over a service that dies; only one that was killed itself is gone.

What was connected when the service died is cut, as is documented: an exec that runs goes on, and its process object
raises ConnectionError.
"""

from chaos.invariants.evidence import Evidence, Verdict
from chaos.journal import Operation


def check(evidence: Evidence) -> Verdict:
    """Check what commands said and how they ended."""
    verdict = Verdict("sandboxes", "")
    killed = {name for fault in evidence.faults for name in fault.target.split() if name.startswith("sb-")}
    engine = any(fault.kind == "engine killed" for fault in evidence.faults)
    made = ran = cut = 0
    for one in evidence.of("sandboxes"):
        made += one.what == "create" and one.did
        own = str(one.asked.get("sandbox", ""))
        if one.failed and (own in killed or engine):
            verdict.excused.append(one)
        elif one.failed and one.what == "exec" and "ConnectionError" in one.error and evidence.was_cut_off(one):
            cut += 1
            verdict.excused.append(one)
        elif one.what == "exec" and one.did and own not in killed and not engine:
            ran += 1
            _check_exec(one, verdict)
    verdict.found = f"{made} sandboxes, {ran} commands right, {cut} cut off with the service, {len(killed)} killed"
    return verdict


def _check_exec(one: Operation, verdict: Verdict) -> None:
    number = int(one.asked["number"])
    said, code = one.answer["said"], one.answer["code"]
    if (said, code) != (f"{number}\n", number + 1):
        verdict.violations.append(f"{one.asked['sandbox']}: command {number} said {said!r} and ended with {code}")
