"""Tunnels: ports of containers, as others reach them."""


class Tunnel:
    """A port of a sandbox on a port of the service's host: HTTP, or anything else over TCP. (reference: Tunnel)"""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """For HTTP, for example "http://127.0.0.1:40123"."""
        return f"http://{self.host}:{self.port}"

    @property
    def tcp_socket(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port

    @property
    def tls_socket(self) -> tuple[str, int]:
        """Host and port, as `tcp_socket`: what stays on one's own machine is not encrypted."""
        return self.host, self.port

    unencrypted_host = property(lambda self: self.host)
    unencrypted_port = property(lambda self: self.port)

    def __repr__(self) -> str:
        return f"Tunnel({self.host!r}, {self.port})"
