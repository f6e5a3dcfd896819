"""The TCP server's certificates."""

import asyncio
import os
import ssl
from pathlib import Path

import pytest

from wherry_service.api.certificates import own_certificate
from wherry_service.api.tcp import TcpServer
from wherry_service.settings import Settings
from wherry_service.settings_key import SettingsError


class Nobody:
    """Implements `edge.Gate`: nothing is asked here."""

    def guard(self, name: str, handler: object, metadata: object, peer: str) -> object:
        raise AssertionError

    def knows(self, metadata: object) -> bool:
        return False


def settings(folder: Path) -> Settings:
    return Settings(
        listen="127.0.0.1:0", tls_certificate=folder / "certificate.pem", tls_key=folder / "key.pem"
    ).checked()


def test_a_renewed_certificate_is_used_without_a_restart_and_a_broken_one_is_not(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    own_certificate(first)
    fresh, _ = own_certificate(second)

    async def scenario() -> None:
        server = TcpServer(settings(first), tmp_path)
        await server.start({}, Nobody())

        async def shown() -> str:
            return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", server.port), timeout=10)

        try:
            before = await shown()
            assert before.split() == (first / "certificate.pem").read_text().split()
            (first / "certificate.pem").write_text("half of one")
            assert await shown() == before
            for name in ("certificate.pem", "key.pem"):
                os.replace(second / name, first / name)
            assert (await shown()).split() == fresh.decode().split()
        finally:
            await server.stop(0)

    asyncio.run(scenario())


def test_files_that_are_no_pair_are_told(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    own_certificate(first)
    own_certificate(second)
    os.replace(second / "key.pem", first / "key.pem")
    with pytest.raises(SettingsError, match="are no certificate with its key"):
        TcpServer(settings(first), tmp_path)


def test_the_services_own_certificate_stays_and_its_key_is_its_own(tmp_path: Path) -> None:
    assert own_certificate(tmp_path / "tls") == own_certificate(tmp_path / "tls")
    assert (tmp_path / "tls" / "key.pem").stat().st_mode & 0o077 == 0


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    own_certificate(tmp_path)

    async def scenario() -> None:
        first = TcpServer(settings(tmp_path), tmp_path)
        await first.start({}, Nobody())
        taken = Settings(
            listen=f"127.0.0.1:{first.port}", tls_certificate=tmp_path / "certificate.pem", tls_key=tmp_path / "key.pem"
        )
        try:
            with pytest.raises(SettingsError, match="can't be listened on"):
                await TcpServer(taken, tmp_path).start({}, Nobody())
        finally:
            await first.stop(0)

    asyncio.run(scenario())
