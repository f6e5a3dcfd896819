"""What tells whether a sandbox is ready."""

from __future__ import annotations

from dataclasses import dataclass

from wherry._base import checks
from wherry._sandbox import options
from wherry.exception import InvalidError
from wherry_proto import messages


@dataclass(frozen=True)
class Probe:
    """What tells whether a sandbox is ready, for `Sandbox.create(readiness_probe=…)`. (reference: Probe)

    Made by `with_tcp` or `with_exec`. It is tried again `interval_ms` milliseconds after it has failed, while somebody
    waits in `Sandbox.wait_until_ready`; once it has succeeded the sandbox is ready for good.
    """

    tcp_port: int | None = None
    exec_argv: tuple[str, ...] | None = None
    interval_ms: int = 100

    def __post_init__(self) -> None:
        if (self.tcp_port is None) == (self.exec_argv is None):
            raise InvalidError("a Probe has either a port or a command: use Probe.with_tcp(…) or Probe.with_exec(…)")
        if self.tcp_port is not None:
            checks.number("Probe: port", self.tcp_port, 1, 65535, "", 0, whole=True)
        elif not self.exec_argv:
            raise InvalidError('Probe.with_exec needs a command, for example Probe.with_exec("test", "-e", "/ready")')
        else:
            options.strings("Probe.with_exec: a command's parts", self.exec_argv)
        checks.number("Probe: interval_ms", self.interval_ms, 1, 60_000, "ms", 100, whole=True)

    @classmethod
    def with_tcp(cls, port: int, *, interval_ms: int = 100) -> Probe:
        """Ready when something accepts connections to this port, on the loopback too. (reference: Probe.with_tcp)"""
        return cls(tcp_port=port, interval_ms=interval_ms)

    @classmethod
    def with_exec(cls, *argv: str, interval_ms: int = 100) -> Probe:
        """Ready is where this command exits with 0. (reference: Probe.with_exec)"""
        return cls(exec_argv=argv, interval_ms=interval_ms)

    def message(self) -> messages.SandboxProbe:
        """Inside wherry: return what the service is told."""
        return messages.SandboxProbe(
            tcp_port=self.tcp_port or 0, exec_args=list(self.exec_argv or ()), interval_ms=self.interval_ms
        )


def probe_of(given: Probe | None) -> messages.SandboxProbe | None:
    """Return what the service is told of `readiness_probe=`; raise InvalidError for what is no Probe."""
    if given is not None and not isinstance(given, Probe):
        raise InvalidError(f"readiness_probe is {given!r}: it takes a wherry.Probe, as in Probe.with_tcp(8080)")
    return given.message() if given is not None else None
