"""Journals as clients would have written them, for invariants to judge."""

import itertools
from typing import Any

from chaos.faults.fault import Happened
from chaos.invariants.evidence import Evidence
from chaos.journal import Operation

_clock = itertools.count(1)


def did(client: str, what: str, asked: dict[str, Any], answer: dict[str, Any] | None = None) -> Operation:
    """Something that was asked for and answered, after all that was written before it."""
    begun = float(next(_clock))
    return Operation(client, "life", what, begun, asked, begun + 0.5, "", answer or {}, begun + 0.5)


def failed(
    client: str, what: str, asked: dict[str, Any], error: str, answer: dict[str, Any] | None = None
) -> Operation:
    """Something that ended with an error."""
    operation = did(client, what, asked, answer)
    operation.error = error
    return operation


def pending(client: str, what: str, asked: dict[str, Any], answer: dict[str, Any] | None = None) -> Operation:
    """Something without an answer."""
    operation = did(client, what, asked, answer)
    operation.ended_at = None
    return operation


def evidence(*operations: Operation, faults: tuple[Happened, ...] = (), **more: Any) -> Evidence:
    """Of these."""
    return Evidence(operations=list(operations), faults=list(faults), **more)


def fault(kind: str, around: Operation, target: str = "") -> Happened:
    """A fault that was on while something was asked for."""
    return Happened(kind, target, around.asked_at - 0.1, around.asked_at + 0.2)
