"""gRPC over TCP, for those who have a token; health checks and reflection are for everyone."""

import logging
import ssl
from pathlib import Path

import grpc
import grpc.aio

from wherry_proto import services
from wherry_service.api.certificates import own_certificate
from wherry_service.api.edge import MESSAGE_LIMIT, Gate, generic_handlers
from wherry_service.api.rpc import Handler
from wherry_service.settings import Settings
from wherry_service.settings_key import SettingsError

log = logging.getLogger(__name__)

# A client may ask whether the service is still there this often, also while nothing else goes over its connection.
# Wherry's own asks every 30 s (client/wherry/_connection/transport/grpc.py); those who ask more often are cut off.
LEAST_PING_S = 10.0


# Requests of one connection that are served at a time.
MAX_STREAMS = 1000


class TcpServer:
    """Listens on `listen.address`."""

    def __init__(self, settings: Settings, state_dir: Path, least_ping_s: float = LEAST_PING_S) -> None:
        self._settings = settings
        self._credentials: grpc.ServerCredentials | None = None
        # PEM: of a certificate that clients are to pin; empty for others.
        self.certificate = ""
        if settings.tls == "dev":
            certificate, key = own_certificate(state_dir / "tls")
            self.certificate = certificate.decode()
            self._credentials = grpc.ssl_server_credentials([(key, certificate)])
        elif settings.tls == "files":
            assert settings.tls_certificate is not None
            assert settings.tls_key is not None
            self._credentials = _following(settings.tls_certificate, settings.tls_key)
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MESSAGE_LIMIT),
                ("grpc.max_send_message_length", MESSAGE_LIMIT),
                ("grpc.so_reuseport", 0),
                # Of one connection; one more waits at its client.
                ("grpc.max_concurrent_streams", MAX_STREAMS),
                # A connection that a network has dropped silently is found out within a minute.
                ("grpc.keepalive_time_ms", 40_000),
                ("grpc.keepalive_timeout_ms", 15_000),
                ("grpc.http2.min_ping_interval_without_data_ms", int(least_ping_s * 1000)),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        )
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients reach it."""
        if self._settings.public_url:
            return self._settings.public_url
        host = self._settings.listen.rpartition(":")[0]
        if host in ("0.0.0.0", "[::]", "*"):
            host = "localhost"
        port = self.port or self._settings.listen.rpartition(":")[2]
        return f"{'https' if self._credentials is not None else 'http'}://{host}:{port}"

    async def start(self, handlers: dict[str, Handler], gate: Gate) -> None:
        """Listen; raise `SettingsError` when that can't be."""
        from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # noqa: PLC0415 - start-up cost: only where there is TCP
        from grpc_reflection.v1alpha import reflection  # noqa: PLC0415 - start-up cost: as above

        self._server.add_generic_rpc_handlers((generic_handlers(handlers, gate),))
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = sorted({method.path.split("/")[1] for method in services.METHODS.values()})
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        try:
            if self._credentials is None:
                self.port = self._server.add_insecure_port(self._settings.listen)
            else:
                self.port = self._server.add_secure_port(self._settings.listen, self._credentials)
        except RuntimeError as error:
            reason = str(error).partition(";")[0]
            raise SettingsError(f"listen.address {self._settings.listen} can't be listened on: {reason}") from None
        for name in ("", *names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()
        log.info("listening on %s, as %s", self._settings.listen, self.url)

    async def drain(self) -> None:
        """Tell load balancers to send nobody any more."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_s: float) -> None:
        await self._server.stop(grace_s)


def _following(certificate: Path, key: Path) -> grpc.ServerCredentials:
    """Return credentials of two files, read again when they change; raise `SettingsError` for what is no pair."""

    def read() -> grpc.ServerCertificateConfiguration:
        pair = key.read_bytes(), certificate.read_bytes()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password=lambda: "")
        return grpc.ssl_server_certificate_configuration([pair])

    def stamps() -> tuple[int, int]:
        return certificate.stat().st_mtime_ns, key.stat().st_mtime_ns

    try:
        known = stamps()
        first = read()
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"tls.certificate {certificate} and tls.key {key} are no certificate with its key (PEM, without a "
            f"password): {error}"
        ) from None

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Return what new connections are to get, None for the same as before."""
        nonlocal known
        try:
            if (now := stamps()) == known:
                return None
            fresh = read()
        except (OSError, ssl.SSLError) as error:
            log.error("the certificate has changed and can't be used: %s", error)
            return None
        known = now
        log.info("the certificate was read anew")
        return fresh

    return grpc.dynamic_ssl_server_credentials(first, fetch)  # type: ignore[arg-type]  # None is allowed
