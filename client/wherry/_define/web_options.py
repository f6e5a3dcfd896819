"""What a web decorator was given, and what a web endpoint can't have."""

from __future__ import annotations

from wherry._base.checks import DAY_S, number
from wherry._base.hints import TYPE_CHECKING, Any
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry_proto.messages import WebSpec

# As the service numbers them (wherry_proto.messages.WebKind).
ENDPOINT, ASGI, WSGI, SERVER = 1, 2, 3, 4
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_HOST_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.")


class WebOptions:
    """What a web decorator was given."""

    __slots__ = (
        "custom_domains",
        "decorator",
        "docs",
        "exit_grace_s",
        "kind",
        "label",
        "max_sessions",
        "method",
        "port",
        "port_timeout",
        "requires_proxy_auth",
        "response_timeout",
        "wait_for_response",
    )

    def __init__(
        self,
        kind: int,
        decorator: str,
        *,
        label: str | None,
        custom_domains: Iterable[str] | None,
        requires_proxy_auth: bool,
        wait_for_response: bool = True,
        response_timeout: float | None = None,
        method: str = "",
        docs: bool = False,
        port: int = 0,
        port_timeout: float = 0.0,
        exit_grace_s: float | None = None,
        max_sessions: int = 0,
    ) -> None:
        self.kind = kind
        self.decorator = decorator
        self.label = _label(decorator, label)
        self.custom_domains = _domains(decorator, custom_domains)
        self.requires_proxy_auth = bool(requires_proxy_auth)
        self.wait_for_response = bool(wait_for_response)
        # None: the service's own; 0: no limit.
        self.response_timeout = (
            None if response_timeout is None else number("response_timeout", response_timeout, 0, DAY_S, "s", 0)
        )
        self.method = method
        self.docs = bool(docs)
        self.port = port
        self.port_timeout = port_timeout
        # Of a class that is a server.
        self.exit_grace_s = exit_grace_s
        # Of one with sessions.
        self.max_sessions = max_sessions

    def message(self) -> WebSpec:
        """Describe it for the service."""
        from wherry_proto.messages import ServerSpec  # noqa: PLC0415 - start-up cost: not needed to import wherry
        from wherry_proto.messages import WebSpec as Message  # noqa: PLC0415 - start-up cost: as above

        limit = self.response_timeout
        return Message(
            kind=self.kind,
            method=self.method,
            label=self.label,
            custom_domains=list(self.custom_domains),
            docs=self.docs,
            requires_proxy_auth=self.requires_proxy_auth,
            no_wait=not self.wait_for_response,
            response_timeout_s=0.0 if limit is None else limit or -1.0,
            port=self.port,
            port_timeout_s=self.port_timeout,
            server=(
                ServerSpec(exit_grace_s=self.exit_grace_s, max_sessions=self.max_sessions)
                if self.exit_grace_s is not None
                else None
            ),
        )

    def check(self, name: str, options: Any) -> None:
        """Raise InvalidError for options of the function that a web endpoint can't have."""
        if options.retries is not None and options.retries.max_retries:
            raise InvalidError(
                f"{name} is a web endpoint: retries= does not work with it, since whoever sent the request has to "
                "decide whether to send it again; leave it out"
            )
        if options.max_batch_size:
            raise InvalidError(f"{name} is a web endpoint: @wherry.batched() does not work with it")


def _label(decorator: str, label: Any) -> str:
    if label is None:
        return ""
    if not isinstance(label, str) or not label.strip():
        raise InvalidError(f"@wherry.{decorator}() has label={label!r}: it must be text, such as label='hello'")
    return label


def _domains(decorator: str, domains: Any) -> tuple[str, ...]:
    if domains is None:
        return ()
    if isinstance(domains, str):
        raise InvalidError(f"custom_domains is {domains!r}: it must be a list, such as [{domains!r}]")
    found = []
    for domain in domains:
        name = str(domain).lower().rstrip(".")
        if not name or len(name) > 253 or "." not in name or not _HOST_SIGNS.issuperset(name) or ".." in name:
            raise InvalidError(
                f"@wherry.{decorator}() has the custom domain {domain!r}: write a host name, a.example.com"
            )
        found.append(name)
    return tuple(found)
