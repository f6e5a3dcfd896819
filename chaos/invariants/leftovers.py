"""No input stays open for ever; after `wherry server stop` nothing of the service is left; it did not grow."""

from chaos.invariants.evidence import Evidence, Verdict, first_of

# Above what it had when the load had begun.
GROWTH_MIB = 300.0
OPEN_FILES = 1000


def check(evidence: Evidence) -> Verdict:
    """Check the engine, the state directory, and the service's memory and descriptors."""
    verdict = Verdict("leftovers", "")
    for kind, names in evidence.left.items():
        if len(names) > (_interrupted(evidence) if kind == "payloads" else 0):
            verdict.violations.append(f"{len(names)} {kind} left: {first_of(names)}")
    memory, files = evidence.memory_mib, evidence.open_files
    if memory and max(memory) > memory[0] + GROWTH_MIB:
        verdict.violations.append(f"the service grew from {memory[0]:.0f} to {max(memory):.0f} MiB")
    if files and max(files) > OPEN_FILES:
        verdict.violations.append(f"the service had {max(files)} descriptors open")
    stacks = evidence.log.count("Traceback (most recent call last)")
    if stacks:
        at = evidence.log.index("Traceback (most recent call last)")
        first = evidence.log[:at].rpartition("\n")[0].rpartition("\n")[2]
        verdict.violations.append(f"{stacks} stacks in the service's log, the first after: {first[:300]}")
    counts = ", ".join(f"{len(names)} {kind}" for kind, names in evidence.left.items())
    verdict.found = f"{counts}"
    if memory:
        verdict.found += f"; service {memory[0]:.0f} → {memory[-1]:.0f} MiB, {max(memory):.0f} at most"
        verdict.found += f", {max(files, default=0)} descriptors at most"
    return verdict


def _interrupted(evidence: Evidence) -> int:
    """Return how many large values were on their way when something broke.

    Nobody may know of such a file any more. As docs/storage.md has it, it goes within a day.
    """
    broken = {fault.kind for fault in evidence.faults}
    return sum(not one.did or evidence.during(one, *broken, grace_s=0) for one in evidence.of("maps", "echo"))
