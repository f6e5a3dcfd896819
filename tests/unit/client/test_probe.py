"""Probes, as they are written."""

from typing import Any

import pytest

from wherry import Probe, Sandbox
from wherry.exception import InvalidError


def test_what_they_hold() -> None:
    assert Probe.with_tcp(8080) == Probe(tcp_port=8080, exec_argv=None, interval_ms=100)
    assert Probe.with_exec("a", "b", interval_ms=5) == Probe(exec_argv=("a", "b"), interval_ms=5)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Probe, "has either a port or a command"),
        (lambda: Probe(1, ("a",)), "has either a port or a command"),
        (Probe.with_exec, "needs a command"),
        (lambda: Probe.with_exec("a", 1), "must be strings"),  # type: ignore[arg-type]
        (lambda: Probe.with_tcp(0), "port is 0"),
        (lambda: Probe.with_tcp(80, interval_ms=0), "interval_ms is 0"),
        (lambda: Sandbox.create(readiness_probe="8080"), "readiness_probe is '8080'"),  # type: ignore[arg-type]
    ],
)
def test_what_they_cannot_be(make: Any, told: str) -> None:
    with pytest.raises(InvalidError, match=told):
        make()
