"""How a sandbox runs on: what it may reach, and whether it is paused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wherry._base import checks
from wherry._base.blocking import blocking
from wherry.exception import InvalidError
from wherry.types import SandboxConnectCredentials
from wherry_proto import messages
from wherry_proto.messages import SandboxInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry._connection.client import Client

_EVERYWHERE = "0.0.0.0/0"


class SandboxReach:
    """The part of `Sandbox` that changes how it runs on."""

    _sandbox_id: str

    @property
    def _client(self) -> Client:
        raise NotImplementedError

    @blocking
    def create_connect_token(
        self, user_metadata: str | Mapping[str, Any] | None = None, port: int = 8080
    ) -> SandboxConnectCredentials:
        """Return a URL and a token with which a port of it is reached over HTTP and web sockets.

        A request carries the token as `Authorization: Bearer TOKEN`, or in its query as `_wherry_connect_token`.
        `user_metadata`: a string, or what JSON can carry, which who answers is told in the header
        X-Verified-User-Data. The token is good for as long as the sandbox runs. Raises InvalidError for metadata that
        can't be a header, and for a sandbox without network; NotFoundError when it has ended.
        (reference: Sandbox.create_connect_token)
        """
        data = user_metadata if isinstance(user_metadata, str) else ""
        if user_metadata is not None and not isinstance(user_metadata, str):
            try:
                data = json.dumps(user_metadata)
            except (TypeError, ValueError) as error:
                raise InvalidError(f"user_metadata can't be sent as JSON: {error}") from None
        request = messages.SandboxConnectTokenRequest(
            sandbox_id=self._sandbox_id,
            port=int(checks.number("port", port, 1, 65535, "", 8080, whole=True)),
            user_data=data,
        )
        made = self._client.call("Sandboxes.CreateConnectToken", request, messages.SandboxConnectToken)
        from wherry._connection.web_names import reachable  # noqa: PLC0415 - start-up cost: only for those who use it

        return SandboxConnectCredentials(reachable(made.url), made.token)

    @blocking
    def pause(self) -> None:
        """Stop all of its processes where they are, until `resume`: they keep their memory and take no processor time.

        A paused sandbox is not idle; when it is resumed its `idle_timeout` counts from the beginning. Its `timeout`
        goes on. Commands can't be started meanwhile. Nothing happens if it is paused already. Raises NotFoundError
        when it has ended.
        """
        self._client.call("Sandboxes.Pause", messages.SandboxPauseRequest(sandbox_id=self._sandbox_id), SandboxInfo)

    @blocking
    def resume(self) -> None:
        """Have the processes of a paused sandbox go on; nothing where it is not paused.

        Raises NotFoundError when it has ended.
        """
        self._client.call("Sandboxes.Resume", messages.SandboxResumeRequest(sandbox_id=self._sandbox_id), SandboxInfo)

    @blocking
    def set_outbound_allowlist(
        self,
        *,
        outbound_cidr_allowlist: Sequence[str] | None = None,
        outbound_domain_allowlist: Sequence[str] | None = None,
    ) -> None:
        """Replace what it may reach, while it runs. Connections that the new lists do not allow end at once.

        The lists mean what they mean in `Sandbox.create`; without any it reaches everything that containers reach. Only
        for a sandbox that was created with a list. Raises InvalidError for one that was not and for what is no network
        or domain, NotFoundError when it has ended. (reference: Sandbox._experimental_set_outbound_network_policy)
        """
        outbound = outbound_of(outbound_cidr_allowlist, outbound_domain_allowlist)
        request = messages.SandboxSetOutboundRequest(
            sandbox_id=self._sandbox_id, outbound=outbound or messages.SandboxOutbound(networks=[_EVERYWHERE])
        )
        self._client.call("Sandboxes.SetOutbound", request, SandboxInfo)

    _experimental_set_outbound_network_policy = set_outbound_allowlist


def outbound_of(
    networks: Sequence[str] | None, domains: Sequence[str] | None, older: Sequence[str] | None = None
) -> messages.SandboxOutbound | None:
    """Return what lists allow, None where there is none; raise InvalidError where one is no list of strings."""
    if networks is not None and older is not None:
        raise InvalidError("cidr_allowlist is the older name of outbound_cidr_allowlist: give one of them")
    networks = older if networks is None else networks
    if networks is None and domains is None:
        return None
    return messages.SandboxOutbound(
        networks=_texts("outbound_cidr_allowlist", networks, "10.0.0.0/8"),
        domains=_texts("outbound_domain_allowlist", domains, "example.com"),
    )


def inbound_of(networks: Sequence[str] | None) -> messages.SandboxInbound | None:
    """Return who may reach a sandbox's ports, None for all; raise InvalidError where it is no list of strings."""
    if networks is None:
        return None
    return messages.SandboxInbound(networks=_texts("inbound_cidr_allowlist", networks, "10.0.0.0/8"))


def _texts(name: str, given: Sequence[str] | None, example: str) -> list[str]:
    if given is not None and (isinstance(given, str) or not all(isinstance(item, str) for item in given)):
        raise InvalidError(f'{name} is {given!r}: it must be a list of strings, for example ["{example}"]')
    return list(given or ())
