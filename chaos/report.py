"""What a campaign shows: a table for people, the same as JSON for programs."""

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import Any

from chaos.invariants.evidence import Evidence, Verdict
from chaos.invariants.waits import recoveries

_SHOWN = 10


@dataclass(frozen=True)
class Report:
    """Of one campaign."""

    seed: str
    seconds: float
    evidence: Evidence
    verdicts: list[Verdict]

    @property
    def holds(self) -> bool:
        return all(verdict.holds for verdict in self.verdicts)

    def json(self) -> dict[str, Any]:
        """Return all figures."""
        return {
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "holds": self.holds,
            "faults": dict(Counter(fault.kind for fault in self.evidence.faults)),
            "invariants": {
                verdict.name: {"found": verdict.found, "violations": verdict.violations} for verdict in self.verdicts
            },
            "recovery_s": self._recovery(),
        }

    def table(self) -> str:
        """Return it as Markdown."""
        counts = Counter(fault.kind for fault in self.evidence.faults)
        told = ", ".join(f"{kind} {count}" for kind, count in counts.most_common())
        lines = [
            f"**{counts.total()} faults** in {self.seconds / 60:.1f} min (seed {self.seed}): {told or 'none'}.",
            "",
            "| invariant | result |",
            "|---|---|",
        ]
        for verdict in self.verdicts:
            bad = f"; **{len(verdict.violations)} violations**" if verdict.violations else ""
            lines.append(f"| {verdict.name} | {verdict.found}{bad} |")
        recovery = self._recovery()
        if recovery:
            shown = "p50 {p50:.2f} s, p90 {p90:.2f} s, max {max:.2f} s (n = {n})".format(**recovery)
            lines.append(f"| recovery: service killed → next answered call | {shown} |")
        for verdict in self.verdicts:
            for violation in verdict.violations[:_SHOWN]:
                lines += ["", f"VIOLATION ({verdict.name}): {violation}"]
            if len(verdict.violations) > _SHOWN:
                lines += ["", f"… and {len(verdict.violations) - _SHOWN} more of {verdict.name}"]
        return "\n".join(lines)

    def _recovery(self) -> dict[str, Any]:
        times = recoveries(self.evidence)
        if not times:
            return {}
        p90 = times[min(len(times) - 1, round(0.9 * (len(times) - 1)))]
        return {"n": len(times), "p50": statistics.median(times), "p90": p90, "max": times[-1]}
