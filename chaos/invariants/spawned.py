"""What was spawned is fetched by another process, all of it and right, whoever was killed in between."""

from chaos.functions import answer
from chaos.invariants.evidence import Evidence, Verdict


def check(evidence: Evidence) -> Verdict:
    """Check each call that its spawner was given an id of."""
    verdict = Verdict("spawned", "")
    fetched = {str(one.asked["call"]): one for one in evidence.of("fetches") if one.did}
    errors: dict[str, str] = {}
    for one in evidence.of("fetches"):
        if one.error:
            errors[str(one.asked["call"])] = one.error
    counts = {"call": 0, "map": 0, "generator": 0}
    for one in evidence.of("spawns"):
        if not one.did:
            continue
        call, kind, first = str(one.answer["call"]), str(one.asked["kind"]), int(one.asked["first"])
        numbers = range(first, first + int(one.asked["count"]))
        counts[kind] += 1
        expected = list(numbers) if kind == "generator" else [[x, answer(x)] for x in numbers]
        if call not in fetched:
            verdict.violations.append(f"{call} ({kind}) was never fetched: {errors.get(call, 'nobody came to it')}")
        elif (got := fetched[call].answer["values"]) != expected:
            at = next((i for i, pair in enumerate(zip(got, expected, strict=False)) if pair[0] != pair[1]), len(got))
            verdict.violations.append(f"{call} ({kind}): {len(got)} of {len(expected)} values, wrong from {at} on")
    verdict.found = ", ".join(f"{count} {kind}s" for kind, count in counts.items()) + " fetched elsewhere"
    return verdict
