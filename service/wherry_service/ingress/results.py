"""Answers that are fetched later: collected when nobody waits for them, and kept as long as results are."""

import asyncio
import json
import logging
from typing import Any

from wherry_service.apps.endpoints import Endpoint
from wherry_service.calls.exchange import END, Exchange, Exchanges, response_of
from wherry_service.errors import stack_of
from wherry_service.ids import new_id
from wherry_service.ingress.answers import Answer, of_failure
from wherry_service.ingress.heads import BODILESS, Headers, checked, status_of
from wherry_service.store.blobs import BlobStore, BlobWriter, keep_patiently
from wherry_service.store.web import WebResult, WebStore

log = logging.getLogger(__name__)

PARAMETER = "__wherry_function_call_id"
HOP = "__wherry_hop"
MAX_HOPS = 20


class Results:
    """Collects responses into files, and serves them."""

    def __init__(self, store: WebStore, blobs: BlobStore, exchanges: Exchanges) -> None:
        self._store = store
        self._blobs = blobs
        self._exchanges = exchanges
        self._running: dict[str, tuple[str, asyncio.Task[None]]] = {}

    def collect(self, endpoint: Endpoint, exchange: Exchange) -> None:
        """Take a request over: its response is kept until it is asked for."""
        task = asyncio.ensure_future(self._collect(endpoint.function_id, exchange))
        self._running[exchange.call.call_id] = (endpoint.function_id, task)
        task.add_done_callback(lambda _: self._ended(exchange))

    def _ended(self, exchange: Exchange) -> None:
        _, task = self._running.pop(exchange.call.call_id)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "the result of request %s could not be kept: %s", exchange.request_id, error, exc_info=stack_of(error)
            )

    async def close(self) -> None:
        """Give up what has not ended."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _collect(self, function_id: str, exchange: Exchange) -> None:
        blob_id = new_id("bl")
        try:
            with self._blobs.writer(blob_id) as writer:
                status, headers = await self._gather(exchange, writer)
                size = writer.commit()
            await keep_patiently(self._blobs, [blob_id])
        finally:
            self._exchanges.close(exchange)
        await self._store.add(WebResult(exchange.call.call_id, function_id, status, _dumped(headers), blob_id, size))

    async def _gather(self, exchange: Exchange, writer: BlobWriter) -> tuple[int, Headers]:
        status, headers = 502, [(b"content-type", b"text/plain; charset=utf-8")]
        begun = False
        try:
            while True:
                event = await exchange.next()
                kind = event[0]["k"]
                if kind == "start":
                    status, headers, begun = status_of(event[0]), checked(event[0].get("headers")), True
                elif kind == "body":
                    # Disks are quick beside networks: not worth a thread for each piece.
                    writer.write(event[1])
                elif kind == END:
                    break
                exchange.took(event)
            assert exchange.ended is not None
            if exchange.ended.failure is not None:
                raise _Failed(of_failure(exchange.ended.failure, exchange.request_id))
            whole = response_of(exchange.ended.payload) if exchange.ended.payload is not None else None
            if whole is not None:
                status, headers, begun = status_of(whole[0]), checked(whole[0].get("headers")), True
                writer.write(whole[1])
            if not begun:
                raise ValueError("it ended without one")
        except _Failed as failed:
            if begun:
                log.warning("request %s failed in the midst of its response", exchange.request_id)
            else:
                status, headers = failed.answer.status, failed.answer.headers
                writer.write(failed.answer.body)
        except (ValueError, KeyError, TypeError) as error:
            answer = Answer(502, f"the app's response is malformed: {error}", exchange.request_id)
            status, headers = answer.status, answer.headers
            writer.write(answer.body)
        return status, headers

    async def serve(
        self, endpoint: Endpoint, call_id: str, hop: int, limit_s: float, next_url: str, send: Any, cors: Headers
    ) -> None:
        """Answer with the result of that call; wait for it, and lead back here when it takes longer than `limit_s`."""
        running = self._running.get(call_id)
        if running is not None and running[0] == endpoint.function_id:
            done, _ = await asyncio.wait([running[1]], timeout=limit_s if limit_s > 0 else None)
            if not done:
                if hop >= MAX_HOPS:
                    text = f"the request is still running after {MAX_HOPS} redirects: ask again at this URL"
                    answer = Answer(504, text, headers=[(b"retry-after", b"60")])
                else:
                    answer = Answer(302, "the result will be there")
                    answer.headers += [(b"location", next_url.encode()), (b"cache-control", b"no-store")]
                await answer.send(send, cors)
                return
        found = await self._store.find(call_id)
        if found is None or found.function_id != endpoint.function_id:
            await Answer(404, "there is no such result, or it has expired").send(send, cors)
            return
        headers = [row for row in _loaded(found.headers) if row[0] != b"content-length"]
        has_body = found.status not in BODILESS
        if has_body:
            headers.append((b"content-length", str(found.size).encode()))
        await send({"type": "http.response.start", "status": found.status, "headers": headers})
        chunks = self._blobs.read(found.blob_id) if has_body else iter(())
        while chunk := await asyncio.to_thread(next, chunks, b""):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Failed(Exception):
    """The call has failed: this is what its caller is answered."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def _dumped(headers: Headers) -> str:
    return json.dumps([[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers])


def _loaded(text: str) -> Headers:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in json.loads(text)]
