"""A dict's entry is what was written last: no read goes back behind a write that was acknowledged before it began.

Each key has one writer, whose versions grow. A write that failed, or whose writer was killed, may have happened or not,
until the next one that is acknowledged.
"""

from collections import defaultdict

from chaos.invariants.evidence import Evidence, Verdict, first_of
from chaos.journal import Operation


def check(evidence: Evidence) -> Verdict:
    """Check reads against writes, races for their one winner, and what is there in the end."""
    verdict = Verdict("dicts", "")
    writes: dict[str, list[Operation]] = defaultdict(list)
    for one in evidence.of("dicts", "put"):
        writes[str(one.asked["key"])].append(one)
    reads = [one for one in evidence.of("dicts", "get") if one.did]
    for one in reads:
        _check_value(one, str(one.asked["key"]), one.answer["value"], writes, verdict)
    entries: dict[str, object] = {}
    for one in evidence.of("last", "entries"):
        if one.did and one.asked["dict"] == "chaos":
            entries = dict(one.answer["entries"])
            for key in writes:
                _check_value(one, key, entries.get(key), writes, verdict)
    races = _check_races(evidence, entries, verdict)
    acknowledged = sum(one.did for found in writes.values() for one in found)
    verdict.found = f"{acknowledged} puts, {len(reads)} gets, {races} races with one winner each"
    return verdict


def _check_value(
    read: Operation, key: str, value: object, writes: dict[str, list[Operation]], verdict: Verdict
) -> None:
    version = int(value[1]) if isinstance(value, list) else 0
    ended = read.ended_at if read.ended_at is not None else float("inf")
    known = {int(one.asked["version"]): one for one in writes[key]}
    before = [int(one.asked["version"]) for one in writes[key] if one.did and (one.ended_at or 0) <= read.asked_at]
    oldest = max(before, default=0)
    if version < oldest:
        verdict.violations.append(
            f"{read.client}: {key} is at version {version or None}, though {oldest} was acknowledged before it was read"
        )
    elif version and (version not in known or known[version].asked_at > ended):
        verdict.violations.append(f"{read.client}: {key} is at version {version}, which nobody had written")


def _check_races(evidence: Evidence, entries: dict[str, object], verdict: Verdict) -> int:
    tries: dict[int, list[Operation]] = defaultdict(list)
    for one in evidence.of("dicts", "race"):
        tries[int(one.asked["race"])].append(one)
    seen: dict[int, set[str]] = defaultdict(set)
    for one in evidence.of("dicts", "winner"):
        if one.did:
            seen[int(one.asked["race"])].add(str(one.answer["value"]))
    decided = 0
    for race, found in tries.items():
        winners = [str(one.asked["mine"]) for one in found if one.did and one.answer["won"]]
        all_seen = seen[race] | ({str(entries[f"race-{race}"])} if f"race-{race}" in entries else set())
        decided += bool(winners)
        if len(winners) > 1:
            verdict.violations.append(f"race {race} has {len(winners)} winners: {first_of(winners)}")
        if len(all_seen) > 1:
            verdict.violations.append(f"race {race}: its winner is {' and '.join(sorted(all_seen))}")
        elif winners and all_seen and winners[0] not in all_seen:
            verdict.violations.append(
                f"race {race}: {winners[0]} was told it won, and {first_of(sorted(all_seen))} did"
            )
        elif not winners and all(one.did for one in found):
            verdict.violations.append(f"race {race}: nobody won")
    return decided
