"""Tunnels. Checked, never executed."""

from typing import assert_type

import wherry


def forwarded() -> None:
    with wherry.forward(8000) as tunnel:
        assert_type(tunnel, wherry.Tunnel)
        assert_type(tunnel.url, str)
        assert_type(tunnel.tcp_socket, tuple[str, int])
    wherry.forward("8000")  # type: ignore[arg-type]


async def awaiting() -> None:
    async with wherry.forward(8000) as tunnel:
        assert_type(tunnel.tls_socket, tuple[str, int])
