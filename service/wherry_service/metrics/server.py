"""The port that metrics are fetched from."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

import uvicorn
from prometheus_client import exposition
from prometheus_client.core import Metric

from wherry_service.api.tokens import EVERYWHERE, Tokens
from wherry_service.errors import Exhausted, ServiceError, Unready
from wherry_service.health import Health
from wherry_service.ingress.answers import Answer, of_json
from wherry_service.ingress.auth import token_of
from wherry_service.ingress.heads import header
from wherry_service.ingress.protocol import BoundedHttp
from wherry_service.metrics.settings import MetricsSettings

log = logging.getLogger(__name__)

PATH = "/metrics"
# Whoever asks again within this time gets the same.
FRESH_S = 1.0
HEAD_TIMEOUT_S, MAX_HEAD_BYTES = 10.0, 16 << 10
# A monitor has one connection, or two.
MAX_CONNECTIONS = 64
SCOPES = frozenset({"admin", "metrics"})

Collect = Callable[[], Awaitable[Callable[[], Iterable[Metric]]]]
"""Looks at what there is; what it returns makes families of that, in a thread."""


class Exposition:
    """An ASGI app: `/metrics`, and whether the service lives and can work."""

    def __init__(self, settings: MetricsSettings, collect: Collect, tokens: Tokens, health: Health) -> None:
        self._settings = settings
        self._collect = collect
        self._tokens = tokens
        self._health = health
        self._lock = asyncio.Lock()
        self._found: Sequence[Metric] = ()
        self._found_at = float("-inf")

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            answer = await self._answer(scope)
            if scope["method"] == "HEAD":
                answer.headers.append((b"content-length", str(len(answer.body)).encode()))
                await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
                await send({"type": "http.response.body", "body": b""})
                return
            await answer.send(send)

    async def _answer(self, scope: dict[str, Any]) -> Answer:
        if scope["method"] not in ("GET", "HEAD"):
            return Answer(405, "metrics are only read", headers=[(b"allow", b"GET, HEAD")])
        if (told := await self._health.told(scope["path"])) is not None:
            return of_json(*told)
        if scope["path"] != PATH:
            return Answer(404, f"metrics are at {PATH}")
        if (refusal := self._refusal(scope)) is not None:
            return refusal
        accept = header(scope, b"accept").decode("latin-1")
        encode, content_type = exposition.choose_encoder(accept)
        found = await self._metrics()
        # Text of many thousand lines: the event loop has better things to do.
        body = await asyncio.to_thread(encode, _Found(found))
        answer = Answer(200, "")
        answer.headers = [(b"content-type", content_type.encode()), (b"cache-control", b"no-store")]
        answer.body = body
        return answer

    async def _metrics(self) -> Sequence[Metric]:
        async with self._lock:
            if time.monotonic() - self._found_at > FRESH_S:
                make = await self._collect()
                self._found = await asyncio.to_thread(lambda: tuple(make()))
                self._found_at = time.monotonic()
            return self._found

    def _refusal(self, scope: dict[str, Any]) -> Answer | None:
        """Return why who asks may not: here a browser's page of another site, elsewhere who has no token."""
        if self._settings.is_local:
            host = header(scope, b"host").decode("latin-1")
            return None if _is_local(host) else Answer(403, f"this is not {host[:255]}: use 127.0.0.1 or localhost")
        token_id, _, secret = token_of(scope["headers"]).decode("latin-1").partition(":")
        address = (scope.get("client") or ("",))[0]
        try:
            token = self._tokens.check(token_id, secret, address)
        except Exhausted as error:
            return Answer(429, str(error))
        except ServiceError:
            text = "metrics want a token: send ID:SECRET as a bearer, or as user name and password"
            return Answer(401, text, headers=[(b"www-authenticate", b'Basic realm="wherry"')])
        if SCOPES.isdisjoint(token.scopes) or EVERYWHERE not in token.environments:
            text = "metrics are of all environments: make a token with --scope metrics -e '*'"
            return Answer(403, text)
        return None


class _Found:
    """Families as a registry of `prometheus_client` gives them."""

    def __init__(self, found: Sequence[Metric]) -> None:
        self._found = found

    def collect(self) -> Sequence[Metric]:
        return self._found


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name.lower() == "localhost"


class MetricsServer:
    """Listens on `metrics.listen`."""

    def __init__(self, settings: MetricsSettings, app: Exposition) -> None:
        self._settings = settings
        self._app = app
        self._serving: asyncio.Task[None] | None = None
        self._server: _InProcess | None = None
        self.port = 0

    def begin(self) -> None:
        """Listen; raise `Unready` where the address can't be had."""
        assert self._settings.address is not None
        host, port = self._settings.address
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(MAX_CONNECTIONS)
        except OSError as error:
            listener.close()
            raise Unready(
                f"metrics can't be served at {host}:{port}: {error.strerror or error}; set metrics.listen to what is "
                "free, or to off, and start the service again"
            ) from None
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        limits = {"max_head_bytes": MAX_HEAD_BYTES, "head_timeout_s": HEAD_TIMEOUT_S}
        config = uvicorn.Config(
            self._app,
            http=type("Http", (BoundedHttp,), limits),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        config.load()
        self._server = _InProcess(config)
        self._serving = asyncio.ensure_future(self._server.serve([listener]))
        who = "" if self._settings.is_local else ", with a token"
        log.info("metrics answer at http://%s:%d%s%s", host, self.port, PATH, who)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)


class _InProcess(uvicorn.Server):
    """The process is not its own: signals are the service's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
