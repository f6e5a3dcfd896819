"""A deploy that succeeded is what answers from then on; calls go on meanwhile, right and without an error."""

from chaos.functions import answer
from chaos.invariants.evidence import Evidence, Verdict

_FIRST = 1


def check(evidence: Evidence) -> Verdict:
    """Check the version that each lone call was answered by."""
    verdict = Verdict("deploys", "")
    deploys = list(evidence.of("deploys", "deploy"))
    calls = 0
    for one in evidence.of("lone"):
        if not one.did:
            continue
        calls += 1
        x, value, version = one.answer["value"]
        if (x, value) != (one.asked["x"], answer(int(one.asked["x"]))):
            verdict.violations.append(f"{one.client}: call {one.asked['x']} was answered {one.answer['value']}")
        ended = one.ended_at or 0
        sure = [int(d.asked["version"]) for d in deploys if d.did and (d.ended_at or 0) <= one.asked_at]
        begun = [int(d.asked["version"]) for d in deploys if d.asked_at <= ended]
        if not max(sure, default=_FIRST) <= version <= max(begun, default=_FIRST):
            verdict.violations.append(
                f"{one.client}: version {version} answered, where {max(sure, default=_FIRST)} was deployed"
            )
    verdict.found = f"{sum(one.did for one in deploys)} of {len(deploys)} deploys, {calls} lone calls right"
    return verdict
