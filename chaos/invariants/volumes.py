"""A file of a volume has what was written to it, read at once and in the end; nothing else is there."""

import hashlib

from chaos.functions import content
from chaos.invariants.evidence import Evidence, Verdict


def check(evidence: Evidence) -> Verdict:
    """Check each file that was read, and that each that was acknowledged is there in the end."""
    verdict = Verdict("volumes", "")
    # A name decides the content up to its length, so a file has one of these.
    good: dict[str, set[str]] = {}
    written: set[str] = set()
    for one in evidence.of("volumes", "write"):
        name, size = str(one.asked["name"]), int(one.asked["size"])
        good.setdefault(name, set()).add(hashlib.sha256(content(name, size)).hexdigest())
        if one.did:
            written.add(name)
        elif one.asked.get("how") == "upload" and "ConnectionError" in one.error and evidence.was_cut_off(one):
            # As is documented, it goes on where it broke off when it is put again.
            verdict.excused.append(one)
    reads = 0
    for one in evidence.of("volumes", "read"):
        if not one.did:
            continue
        reads += 1
        name, size = str(one.asked["name"]), int(one.asked["size"])
        if one.answer["sha"] != hashlib.sha256(content(name, size)).hexdigest():
            verdict.violations.append(f"{one.client}: {name}, just written, has other content")
    listed: set[str] | None = None
    for one in evidence.of("last", "list"):
        listed = {str(name) for name in one.answer.get("names", [])} if one.did else None
    for name in sorted(written - listed) if listed is not None else []:
        verdict.violations.append(f"{name} was written, and is not there in the end")
    for one in evidence.of("last", "file"):
        name = str(one.asked["name"])
        if one.did and not name.startswith(".") and one.answer["sha"] not in good.get(name, set()):
            verdict.violations.append(f"{name} has other content in the end than anybody wrote")
    verdict.found = f"{len(written)} files, {reads} reads"
    return verdict
