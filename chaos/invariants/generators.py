"""A generator's values come in order, each once; nothing comes after a gap."""

from chaos.invariants.evidence import Evidence, Verdict


def check(evidence: Evidence) -> Verdict:
    """Check what each caller had in its hands, also where an error came in the end."""
    verdict = Verdict("generators", "")
    complete = values = 0
    for one in evidence.of("generators"):
        first, count = int(one.asked["first"]), int(one.asked["count"])
        heard = [int(value) - first for value in one.answer.get("values", [])]
        values += len(heard)
        complete += one.did
        wrong = next((index for index, number in enumerate(heard) if number != index), None)
        if wrong is not None:
            came = ", ".join(map(str, heard[wrong : wrong + 3]))
            end = f"; then {one.error}" if one.error else ""
            verdict.violations.append(
                f"{one.client}: after value {wrong - 1} came {came}…, {len(heard)} of {count} values{end}"
            )
        elif one.did and len(heard) != count:
            verdict.violations.append(f"{one.client}: it ended after {len(heard)} of {count} values, without an error")
    verdict.found = f"{complete} complete, {values} values"
    return verdict
