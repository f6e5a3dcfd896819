"""The server's half of WSGI (PEP 3333): each request on a thread, its bodies streamed both ways."""

import asyncio
import contextvars
import functools
import io
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from wherry_runner.inputs import Input
from wherry_runner.web_stream import WHOLE_BYTES, WebStream, whole

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

MAX_THREADS = 1 << 16


class WsgiApp:
    """An app, and the threads that it runs on."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._threads: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - start-up cost: as late as the loop that needs it

        self._threads = ThreadPoolExecutor(MAX_THREADS, "wherry-input")

    async def stop(self) -> None:
        """Nothing: a WSGI app has no end."""

    async def serve(self, stream: WebStream, item: Input) -> bytes:
        """Run the app on a request; return the response if it is whole, b"" if it was sent in pieces."""
        if stream.head["type"] == "websocket":
            await stream.send({"k": "close", "code": 1000, "reason": ""})
            return b""
        request = WsgiRequest(stream, asyncio.get_running_loop(), item)
        call = functools.partial(contextvars.copy_context().run, request.run, self._app)
        loop = asyncio.get_running_loop()
        data: bytes = await loop.run_in_executor(self._threads, call)
        return data


class WsgiRequest:
    """One request on its thread."""

    def __init__(self, stream: WebStream, loop: asyncio.AbstractEventLoop, item: Input) -> None:
        self._stream = stream
        self._loop = loop
        self._item = item
        self._status = 0
        self._headers: list[list[str]] | None = None
        self._sent = False

    def run(self, app: Any) -> bytes:
        """Call the app and send what it gives."""
        result = app(_environ(self._stream.head, RequestBody(self)), self._start)
        try:
            held: bytes | None = None
            for chunk in result:
                if self._item.ended_by or self._stream.gone is not None:
                    return b""
                if held is not None:
                    self._write(held)
                held = None
                if not chunk:
                    continue
                # The first may be the only one: then the response is whole. How many there are is often known.
                if self._sent or not _is_single(result) or len(chunk) > WHOLE_BYTES:
                    self._write(chunk)
                else:
                    held = chunk
            if self._headers is None:
                raise RuntimeError("the app returned without calling start_response")
            if not self._sent:
                return whole(self._status, self._headers, held or b"")
            if held is not None:
                self._write(held)
            self._wait(self._stream.send({"k": "body", "more": False}))
            return b""
        finally:
            if hasattr(result, "close"):
                result.close()

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if exc_info:
            try:
                if self._sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._headers is not None:
            raise AssertionError("start_response was called twice")
        self._status = int(status[:3])
        self._headers = [[str(name), str(value)] for name, value in headers]
        return self._write

    def _write(self, chunk: bytes) -> None:
        if self._headers is None:
            raise AssertionError("a body came before start_response")
        if not self._sent:
            self._sent = True
            self._wait(self._stream.send({"k": "start", "status": self._status, "headers": self._headers}))
        if chunk:
            self._wait(self._stream.send({"k": "body", "more": True}, bytes(chunk)))

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def first_body(self) -> tuple[bytes, bool]:
        return self._stream.first, bool(self._stream.head["more"])

    def next_body(self) -> tuple[bytes, bool]:
        header, part = self._wait(self._stream.next())
        if header["k"] != "body":
            raise OSError("the client has disconnected in the midst of its request")
        return part, bool(header.get("more"))


class RequestBody(io.RawIOBase):
    """`wsgi.input`."""

    def __init__(self, request: WsgiRequest) -> None:
        self._request = request
        self._data, self._more = request.first_body()
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._position >= len(self._data) and self._more:
            self._data, self._more = self._request.next_body()
            self._position = 0
        chunk = self._data[self._position : self._position + len(buffer)]
        buffer[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)


def _is_single(result: Any) -> bool:
    try:
        return len(result) == 1
    except TypeError:
        return False


def _environ(head: dict[str, Any], body: RequestBody) -> dict[str, Any]:
    # PEP 3333: bytes as latin-1.
    raw = unquote_to_bytes(head["raw_path"]).decode("latin-1")
    prefix = head["root_path"]
    server = head["server"]
    environ: dict[str, Any] = {
        "REQUEST_METHOD": head["method"],
        "SCRIPT_NAME": prefix,
        "PATH_INFO": raw[len(prefix) :],
        "QUERY_STRING": head["query"],
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{head['http_version']}",
        "REMOTE_ADDR": head["client"][0],
        "REMOTE_PORT": str(head["client"][1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": head["scheme"],
        "wsgi.input": io.BufferedReader(body, 64 << 10),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in head["headers"]:
        # "_" would hide behind "-".
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        joint = ";" if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{joint}{value}" if key in environ else value
    if "HTTP_HOST" in environ:
        host, _, port = environ["HTTP_HOST"].partition(":")
        environ["SERVER_NAME"] = host or environ["SERVER_NAME"]
        environ["SERVER_PORT"] = port or ("443" if head["scheme"] == "https" else "80")
    return environ
