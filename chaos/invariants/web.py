"""A web endpoint's answers are right; while the service is away it refuses, and nothing in between.

A request is never run twice, so one whose container dies is answered 502, or breaks off. One whose service dies breaks
off. Both are the visitor's to ask again.
"""

import json

from chaos.invariants.evidence import Evidence, Verdict
from chaos.journal import Operation

_GONE = ("container killed", "all containers killed", "runner killed", "runner stopped", "engine killed")
# A container that starts in place of one that was killed takes a while.
_CONTAINER_S = 20.0
_BACK_S = 2.0
_STATUSES = (502, 503)


def check(evidence: Evidence) -> Verdict:
    """Check all answers, and that what failed had a reason."""
    verdict = Verdict("web", "")
    right = told = refused = 0
    slowest = 0.0
    for one in evidence.of("requests", "request"):
        disturbed = _is_disturbed(evidence, one)
        if one.failed and disturbed and _is_broken_connection(one):
            refused += 1
            verdict.excused.append(one)
        if not one.did:
            continue
        slowest = max(slowest, (one.ended_at or 0) - one.asked_at)
        status, text = int(one.answer["status"]), str(one.answer["text"])
        if status == 200:
            right += 1
            if not _is_right(one, text):
                verdict.violations.append(f"{one.client}: {one.asked['query']} was answered with {text[:200]!r}")
        elif status in _STATUSES and disturbed:
            told += 1
        else:
            verdict.violations.append(f"{one.client}: {one.asked['query']} was answered {status}: {text[:200]!r}")
    said = _check_websockets(evidence, verdict)
    verdict.found = (
        f"{right} answers right, the slowest after {slowest:.1f} s; {told} told that the container went; "
        f"{refused} refused or broken off; {said} websocket messages"
    )
    return verdict


def _check_websockets(evidence: Evidence, verdict: Verdict) -> int:
    said = 0
    for one in evidence.of("requests", "websocket"):
        heard = [str(text) for text in one.answer.get("heard", [])]
        said += len(heard)
        if heard != [f"heard {number}" for number in range(len(heard))]:
            verdict.violations.append(f"{one.client}: a websocket said {heard[:5]}…")
        if one.failed and (_is_disturbed(evidence, one) or evidence.during(one, "client stopped")):
            verdict.excused.append(one)
    return said


def _is_disturbed(evidence: Evidence, one: Operation) -> bool:
    return evidence.was_away(one, _BACK_S) or evidence.during(one, *_GONE, grace_s=_CONTAINER_S)


def _is_right(one: Operation, text: str) -> bool:
    try:
        said = json.loads(text)
    except ValueError:
        return False
    return bool(said == {"query": one.asked["query"], "sha": one.asked["sha"]})


def _is_broken_connection(one: Operation) -> bool:
    kind = one.error.partition(":")[0]
    return kind in (
        "builtins.ConnectionRefusedError", "builtins.ConnectionResetError", "builtins.BrokenPipeError",
        "http.client.RemoteDisconnected", "http.client.IncompleteRead",
    )  # fmt: skip
