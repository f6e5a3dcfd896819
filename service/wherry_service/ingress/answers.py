"""What the ingress answers by itself: errors, redirects, results to come."""

import json
import logging
from http import HTTPStatus
from typing import Any

from wherry_proto.messages import Failure, FailureKind
from wherry_service.calls.exchange import Refusal

log = logging.getLogger(__name__)

Headers = list[tuple[bytes, bytes]]
Send = Any

_STATUSES = {
    FailureKind.TIMEOUT: 504,
    FailureKind.CONTAINER_LOST: 502,
    FailureKind.OUT_OF_MEMORY: 502,
    FailureKind.STARTUP: 502,
    FailureKind.EXHAUSTED: 503,
    FailureKind.CANCELLED: 503,
    FailureKind.NOT_FOUND: 404,
}
_SAID = {
    500: "the app raised an exception: its log says which",
    502: "the container of this request ended before it answered",
    503: "too many requests wait already, or the app is stopping",
    504: "the app did not answer in time",
}


class Answer:
    """A whole response."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, text: str, request_id: str = "", headers: Headers | None = None) -> None:
        name = HTTPStatus(status).phrase
        about = f"\nRequest {request_id}" if request_id else ""
        self.status = status
        self.body = f"{status} {name}: {text}{about}\n".encode()
        self.headers: Headers = [(b"content-type", b"text/plain; charset=utf-8"), *(headers or [])]
        if request_id:
            self.headers.append((b"wherry-request-id", request_id.encode()))

    async def send(
        self, send: Send, cors: Headers | None = None, prefix: str = "http.response", finish: bool = True
    ) -> None:
        """Send it; `prefix` is "websocket.http.response" where a websocket is refused."""
        headers = [*self.headers, *(cors or ()), (b"content-length", str(len(self.body)).encode())]
        await send({"type": f"{prefix}.start", "status": self.status, "headers": headers})
        await send({"type": f"{prefix}.body", "body": self.body, "more_body": not finish})


def of_json(status: int, text: str) -> Answer:
    """Return an answer that is JSON, and that nobody on the way may keep."""
    answer = Answer(status, "", headers=[(b"cache-control", b"no-store")])
    answer.headers[0] = (b"content-type", b"application/json")
    answer.body = f"{text}\n".encode()
    return answer


def of_refusal(refusal: Refusal, request_id: str) -> Answer:
    """Return what a request is answered that was not taken."""
    if not refusal.status:
        return of_failure(refusal.failure, request_id)
    # A server's: so many may come that the log says nothing of each.
    return Answer(refusal.status, refusal.failure.message, request_id, [(b"retry-after", b"1")])


def of_failure(failure: Failure, request_id: str) -> Answer:
    """Return what a request is answered whose input failed before there was a response."""
    status = _STATUSES.get(failure.kind, 500)
    log.info("request %s failed: %s: %s", request_id, failure.type_name or failure.kind, failure.message)
    text = _SAID.get(status, failure.message)
    if failure.kind in (FailureKind.STARTUP, FailureKind.OUT_OF_MEMORY, FailureKind.CONTAINER_LOST):
        # The first line says how; what the container printed is for its owner's eyes.
        is_startup = failure.kind == FailureKind.STARTUP
        text = "the app could not start: its log says why" if is_startup else failure.message.partition("\n")[0]
    headers: Headers = [(b"retry-after", b"1")] if status == 503 else []
    return Answer(status, text, request_id, headers)


def redirect(method: str, location: str) -> Answer:
    """Lead to a result URL, by GET whatever the method was."""
    answer = Answer(302 if method in ("GET", "HEAD") else 303, "the result will be there")
    answer.headers += [(b"location", location.encode()), (b"cache-control", b"no-store")]
    return answer


def accepted(url: str) -> Answer:
    """Say where the result will be."""
    answer = Answer(202, "")
    answer.headers = [(b"content-type", b"application/json"), (b"location", url.encode())]
    answer.body = json.dumps({"result_url": url}).encode()
    return answer
