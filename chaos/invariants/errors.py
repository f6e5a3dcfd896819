"""An error is told where something is wrong that nobody can hide, in words; else there is none.

A full disk, a database that is away: what wants to write may be refused, and says so in one sentence.
"""

import re

from chaos.invariants.evidence import Evidence, Verdict
from chaos.journal import Operation

# A stack, or a library's own words, is nothing that a user can act on.
_UGLY = re.compile(r"Traceback|sqlalche\.me|sqlite3?\.|psycopg|OperationalError|\[SQL|errno", re.IGNORECASE)
# What Python says to a function that writes to its volume: the function's own, and as it is on any disk.
_KERNELS = "builtins.OSError: [Errno 28] No space left on device"
_DATABASE = ("database crashed", "database restarted", "database locked", "connections cut on a slow disk")
_ENGINE = ("engine killed",)
# As docs/server.md has it: an input whose container is lost is run again three times at most.
_LOST_TOO_OFTEN = "It was run 4 times"


def check(evidence: Evidence, excused: list[Operation]) -> Verdict:
    """Check all errors but those that another invariant has excused."""
    verdict = Verdict("errors", "")
    known = {id(one) for one in excused}
    permitted = 0
    for one in evidence.operations:
        if not one.failed or id(one) in known:
            continue
        reason = _reason(evidence, one)
        if reason is None:
            verdict.violations.append(f"{one.client} {one.what}: {one.error[:400]}")
        elif reason and _UGLY.search(one.error.replace(_KERNELS, "")):
            verdict.violations.append(f"{one.client} {one.what}, while {reason}, in no plain words: {one.error[:400]}")
        else:
            permitted += 1
    verdict.violations.extend(f"{name} ended by itself: {why[-400:]}" for name, why in evidence.broke.items())
    verdict.found = f"{permitted} told with a reason, {len(known)} more by broken connections and killed containers"
    return verdict


def _reason(evidence: Evidence, one: Operation) -> str | None:
    """Return what was wrong that nobody can hide, "" where the words don't matter; None: nothing was."""
    if evidence.during(one, "disk full") and re.search("disk|space", one.error):
        return "the disk was full"
    if evidence.during(one, *_DATABASE, grace_s=5) and "database" in one.error:
        return "the database was away"
    if evidence.during(one, *_ENGINE, grace_s=10) and re.search("engine|[Dd]ocker", one.error):
        return "the engine was away"
    if evidence.was_cut_off(one) and "no service answers at" in one.error and not evidence.had_met(one):
        return "there was no service when the client began"  # over TCP nobody waits for one that never answered
    if evidence.was_away(one, 2.0) and "while starting" in one.error:
        return ""  # who starts the service is told that what it started was killed
    return "its container was lost four times" if _LOST_TOO_OFTEN in one.error else None
