"""The server's half of ASGI 3: http, websocket and lifespan."""

import asyncio
from typing import Any

from wherry_runner.inputs import Input
from wherry_runner.loader import LoadError
from wherry_runner.web_stream import WHOLE_BYTES, Gone, WebStream, pairs, whole

# 2.4: `send` raises OSError when the client has gone.
VERSIONS = {"version": "3.0", "spec_version": "2.4"}


class AsgiApp:
    """An app, and its lifespan."""

    def __init__(self, app: Any, name: str) -> None:
        self._app = app
        self._name = name
        self._state: dict[str, Any] = {}
        self._lifespan: asyncio.Future[Any] | None = None
        self._to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    # Lifespan

    async def start(self) -> None:
        """Begin the lifespan, where the app has one; raise `LoadError` if it can't start."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        lifespan: asyncio.Future[Any] = asyncio.ensure_future(self._app(scope, self._to_app.get, self._from_app.put))
        said = await self._said(lifespan, "startup")
        if said is None:
            # What it raised means that it knows no lifespan, unless that is how user code failed: then it says so.
            if not lifespan.cancelled():
                lifespan.exception()
        elif said["type"] == "lifespan.startup.failed":
            raise LoadError(f"{self._name} could not start: {said.get('message') or 'its lifespan failed'}")
        else:
            self._lifespan = lifespan

    async def _said(self, lifespan: "asyncio.Future[Any]", what: str) -> dict[str, Any] | None:
        """Have something begin, and wait for its end; None: the app has left its lifespan."""
        await self._to_app.put({"type": f"lifespan.{what}"})
        answer: asyncio.Future[Any] = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait([lifespan, answer], return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            said: dict[str, Any] = answer.result()
            return said
        answer.cancel()
        return None

    async def stop(self) -> None:
        """End the lifespan and wait for it; raise what it raises then, or RuntimeError where it says it failed."""
        if self._lifespan is not None and not self._lifespan.done():
            said = await self._said(self._lifespan, "shutdown")
            await asyncio.wait([self._lifespan], timeout=1.0)
            if said is None and not self._lifespan.cancelled() and (error := self._lifespan.exception()) is not None:
                raise error
            if said is not None and said["type"] == "lifespan.shutdown.failed":
                raise RuntimeError(said.get("message") or "its lifespan failed as it ended")

    # Requests

    async def serve(self, stream: WebStream, item: Input) -> bytes:
        """Run the app on a request; return the response if it is whole, b"" if it was sent in pieces."""
        head = stream.head
        scope = {
            "type": head["type"],
            "asgi": VERSIONS,
            "http_version": head["http_version"],
            "scheme": head["scheme"],
            "path": head["path"],
            "raw_path": head["raw_path"].encode("latin-1"),
            "query_string": head["query"].encode("latin-1"),
            "root_path": head["root_path"],
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head["headers"]],
            "client": tuple(head["client"]),
            "server": tuple(head["server"]),
            "state": self._state.copy(),
        }
        if head["type"] == "websocket":
            scope["subprotocols"] = head["subprotocols"]
            scope["extensions"] = {"websocket.http.response": {}}
            socket = AsgiSocket(stream)
            await self._app(scope, socket.receive, socket.send)
            await socket.finish()
            return b""
        scope["method"] = head["method"]
        request = AsgiRequest(stream)
        try:
            await self._app(scope, request.receive, request.send)
        except BaseException:
            # What the app has said is said, for example by the part of it that shows errors.
            request.flush()
            raise
        return request.finish()


class AsgiRequest:
    """What an app sees of one HTTP request."""

    def __init__(self, stream: WebStream) -> None:
        self._stream = stream
        self._first: bytes | None = stream.first
        self._more = bool(stream.head["more"])
        # The start of the response, until its first piece goes with it; then what is whole already.
        self._start: dict[str, Any] | None = None
        self._whole: bytes | None = None
        self._started = self._complete = False

    async def receive(self) -> dict[str, Any]:
        if self._first is not None:
            body, self._first = self._first, None
            if body or not self._more:
                return {"type": "http.request", "body": body, "more_body": self._more}
        if self._complete:
            return {"type": "http.disconnect"}
        header, part = await self._stream.next()
        if header["k"] != "body":
            return {"type": "http.disconnect"}
        self._more = bool(header.get("more"))
        return {"type": "http.request", "body": part, "more_body": self._more}

    async def send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            if self._started:
                raise RuntimeError("the response has been started already")
            self._started = True
            self._start = {"status": int(message["status"]), "headers": pairs(message.get("headers"))}
        elif kind == "http.response.body":
            await self._body(bytes(message.get("body") or b""), bool(message.get("more_body")))
        else:
            raise RuntimeError(f"an app can't send {kind!r} on a request")

    async def _body(self, body: bytes, more: bool) -> None:
        if not self._started or self._complete:
            raise RuntimeError("a body was sent " + ("after its end" if self._complete else "before its start"))
        self._complete = not more
        stream = self._stream
        if self._start is not None and not more and len(body) <= WHOLE_BYTES:
            if stream.gone is not None:
                raise Gone
            # It goes with the input's answer, if the app returns now; else at the end of the loop's turn.
            self._whole = body
            asyncio.get_running_loop().call_soon(self.flush)
            return
        start, self._start = self._start, None
        if start is not None:
            stream.put({"k": "start", **start})
        if body or not more:
            await stream.send({"k": "body", "more": more}, body)

    def flush(self) -> None:
        """Send what waits for the app to return."""
        if self._start is None or self._whole is None:
            return
        start, self._start = self._start, None
        body, self._whole = self._whole, None
        self._stream.put({"k": "start", **start})
        self._stream.put({"k": "body", "more": False}, body)

    def finish(self) -> bytes:
        """Return the response if it has not been sent; raise where it is not complete."""
        if not self._complete:
            if self._stream.gone is not None:
                raise Gone
            raise RuntimeError(
                "the app returned in the midst of its response"
                if self._started
                else "the app returned without a response"
            )
        if self._start is None or self._whole is None:
            return b""
        start, self._start = self._start, None
        return whole(start["status"], start["headers"], self._whole)


class AsgiSocket:
    """What an app sees of one websocket."""

    def __init__(self, stream: WebStream) -> None:
        self._stream = stream
        self._connected = self._accepted = self._closed = self._refusing = False
        self._pieces: list[bytes] = []

    async def receive(self) -> dict[str, Any]:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        while True:
            header, part = await self._stream.next()
            if header["k"] == "gone":
                code = header.get("code", 1006)
                return {"type": "websocket.disconnect", "code": code, "reason": header.get("reason") or ""}
            self._pieces.append(part)
            if not header.get("more"):
                break
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []
        if header.get("text"):
            return {"type": "websocket.receive", "text": data.decode("utf-8", "surrogatepass")}
        return {"type": "websocket.receive", "bytes": data}

    async def send(self, message: dict[str, Any]) -> None:
        kind, stream = message["type"], self._stream
        if stream.gone is not None:
            raise Gone
        if self._closed:
            raise RuntimeError("the websocket is closed")
        if kind == "websocket.accept" and not self._accepted:
            self._accepted = True
            head = {"k": "accept", "subprotocol": message.get("subprotocol"), "headers": pairs(message.get("headers"))}
            await stream.send(head)
        elif kind == "websocket.send" and self._accepted:
            text = message.get("text")
            data = bytes(message.get("bytes") or b"") if text is None else text.encode("utf-8", "surrogatepass")
            await stream.send({"k": "message", "text": text is not None}, data)
        elif kind == "websocket.close":
            self._closed = True
            await stream.send({"k": "close", "code": message.get("code", 1000), "reason": message.get("reason") or ""})
        elif kind == "websocket.http.response.start" and not self._accepted:
            self._refusing = True
            head = {"k": "start", "status": int(message["status"]), "headers": pairs(message.get("headers"))}
            await stream.send(head)
        elif kind == "websocket.http.response.body" and self._refusing:
            more = bool(message.get("more_body"))
            self._closed = not more
            await stream.send({"k": "body", "more": more}, bytes(message.get("body") or b""))
        else:
            raise RuntimeError(f"an app can't send {kind!r} now")

    async def finish(self) -> None:
        """Close what the app has left open."""
        if not self._closed and self._stream.gone is None:
            await self._stream.send({"k": "close", "code": 1000 if self._accepted else 1011, "reason": ""})
