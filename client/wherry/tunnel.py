"""Tunnels: ports of containers, as others reach them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from wherry._base import checks
from wherry._base.waiting import in_thread
from wherry.context import is_local
from wherry.exception import ExecutionError, InvalidError
from wherry_proto.messages import ContainerForward, ContainerForwardRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry._connection.client import Client
    from wherry_proto.messages import SandboxTunnel


class Tunnel:
    """A port of a sandbox, or of a function's container, as it is reached from outside. (reference: Tunnel)

    Over HTTP at `url`, which other machines reach where the service has a domain; anything else over TCP at
    `tcp_socket`, a port of the service's host. `host` and `port` are those of `url`.
    """

    def __init__(
        self, host: str, port: int, unencrypted_host: str = "", unencrypted_port: int = 0, *, url: str = ""
    ) -> None:
        self.host = host
        self.port = port
        self.unencrypted_host = unencrypted_host or host
        self.unencrypted_port = unencrypted_port or port
        self._url = url

    @property
    def url(self) -> str:
        """For HTTP, for example "https://tunnel--….example.com".

        Where the service has no domain it is "http://127.0.0.1:40123" in a program, and in a function
        "http://tunnel--….localhost:8720", which functions reach, and programs of the service's host.
        """
        return self._url or f"http://{self.host}:{self.port}"

    @property
    def tcp_socket(self) -> tuple[str, int]:
        """Host and port for anything over TCP: of the service's host."""
        return self.unencrypted_host, self.unencrypted_port

    @property
    def tls_socket(self) -> tuple[str, int]:
        """Host and port of `url`: with TLS where that is https, else as `tcp_socket`."""
        return (self.host, self.port) if self._url.startswith("https://") else self.tcp_socket

    def __repr__(self) -> str:
        return f"Tunnel({self.url!r}, {self.unencrypted_host!r}, {self.unencrypted_port})"


class Tunnels(dict[int, Tunnel]):
    """Inside wherry: the tunnels of a sandbox by its ports; of another port it says what to do."""

    def __init__(self, sandbox_id: str, tunnels: dict[int, Tunnel]) -> None:
        super().__init__(tunnels)
        self._sandbox_id = sandbox_id

    def __missing__(self, port: int) -> Tunnel:
        ports = ", ".join(map(str, self)) or "none, or the sandbox has ended"
        raise KeyError(
            f"{self._sandbox_id} has no tunnel for port {port!r} (tunnels: {ports}): name the port when the sandbox is "
            "created, for example encrypted_ports=[8000]"
        )


def tunnel_at(opened: SandboxTunnel | ContainerForward) -> Tunnel:
    """Inside wherry: return a port of the service's host, which answers at a URL, too, if there is one."""
    host, port, url = opened.host, opened.host_port, opened.url or opened.local_url
    if not url:
        return Tunnel(host, port)
    if opened.local_url:
        from wherry._connection.web_names import reachable  # noqa: PLC0415 - start-up cost: only for containers

        reachable(url)
    parts = urlsplit(url)
    return Tunnel(parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80), host, port, url=url)


class Forwarding:
    """A port that is open within a `with` or `async with` block; see `forward`."""

    def __init__(self, port: int, client: Client | None) -> None:
        self._port = port
        self._client = client
        self._answers: Iterator[Any] | None = None

    def __enter__(self) -> Tunnel:
        from wherry._connection.client import default_client  # noqa: PLC0415 - start-up cost: loads the session

        if is_local():
            raise ExecutionError(
                "forward opens a port of a function's container: call it in a function; a sandbox's ports are named "
                "when it is created (encrypted_ports=[8000])"
            )
        client = self._client or default_client()
        self._answers = iter(client.stream("Containers.Forward", ContainerForwardRequest(port=self._port)))
        opened = cast("ContainerForward", next(self._answers))
        return tunnel_at(opened)

    def __exit__(self, *exc: object) -> None:
        answers, self._answers = self._answers, None
        if answers is not None:
            answers.close()  # type: ignore[attr-defined]

    async def __aenter__(self) -> Tunnel:
        return await in_thread(self.__enter__)

    async def __aexit__(self, *exc: object) -> None:
        self.__exit__()


def forward(
    port: int, *, unencrypted: bool = False, h2_enabled: bool = False, client: Client | None = None
) -> Forwarding:
    """Open a port of the function's container to the outside, within a `with` block that gives its `Tunnel`.

    The server must listen on all of the container's addresses ("0.0.0.0"). `unencrypted` and `h2_enabled` are
    accepted: the port is reached both over HTTP, with TLS where the service's domain has it, and as a port of the
    service's host. Raises InvalidError for what is no port and in a function without network, ExecutionError outside a
    function. (reference: forward)
    """
    number = int(checks.number("port", port, 1, 65535, "", 0, whole=True))
    if not number:
        raise InvalidError("forward needs a port, for example forward(8000)")
    return Forwarding(number, client)


forward.aio = forward  # type: ignore[attr-defined]
