"""Every input of a map is answered once, and right; large values come back as they went."""

from typing import Any

from chaos.functions import BAD, answer
from chaos.invariants.evidence import Evidence, Verdict


def check(evidence: Evidence) -> Verdict:
    """Check complete maps whole, and of others what had come."""
    verdict = Verdict("maps", "")
    complete = inputs = abandoned = echoed = 0
    for one in evidence.of("maps", "map"):
        first, count = int(one.asked["first"]), int(one.asked["count"])
        heard = [_plain(output) for output in one.answer.get("outputs", [])]
        expected = [_expected(x) for x in range(first, first + count)]
        if not one.did:
            abandoned += 1
            # In order: a beginning. As they come: some of them, each once.
            expected = expected[: len(heard)] if one.asked["ordered"] else _chosen(expected, heard)
        else:
            complete += 1
        inputs += len(heard)
        if not one.asked["ordered"]:
            heard, expected = sorted(heard), sorted(expected)
        if heard != expected:
            verdict.violations.append(f"{one.client}: map of {count} from {first}: {_difference(heard, expected)}")
    for one in evidence.of("maps", "echo"):
        echoed += one.did
        if one.did and one.answer["sha"] != one.asked["sha"]:
            verdict.violations.append(f"{one.client}: a large value came back as another")
    verdict.found = f"{complete} maps, {inputs} inputs answered, {abandoned} not ended; {echoed} large values"
    return verdict


def _expected(x: int) -> str:
    return f"bad {x}" if x % BAD == BAD - 1 else f"{x} {answer(x)}"


def _plain(output: Any) -> str:
    return output if isinstance(output, str) else " ".join(map(str, output))


def _chosen(expected: list[str], heard: list[str]) -> list[str]:
    wanted = set(heard)
    return [one for one in expected if one in wanted]


def _difference(heard: list[str], expected: list[str]) -> str:
    told = set(heard)
    lost = sum(one not in told for one in expected)
    foreign = len(told - set(expected))
    twice = len(heard) - len(told)
    if lost or foreign or twice:
        return f"{lost} lost, {twice} twice, {foreign} wrong"
    return "in another order"
