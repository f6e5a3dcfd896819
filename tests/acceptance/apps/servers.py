"""Servers of their own classes: what listens on a port in their containers."""

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import wherry

app = wherry.App("server-tests")


class Handler(BaseHTTPRequestHandler):
    """Says which container it is in; `/slow` takes two seconds, `/end` stops to listen."""

    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(2)
        if self.path == "/end":
            threading.Thread(target=self.server.shutdown).start()
        told = [self.headers.get(name) for name in ("modal-session-id", "x-modal-server-session-id")]
        body = f"{os.environ['HOSTNAME']} {' '.join(map(str, told))}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def listen(port: int, after_s: float = 0.0) -> None:
    """Start to listen, after some time, and return at once."""

    def serve() -> None:
        time.sleep(after_s)
        with ThreadingHTTPServer(("0.0.0.0", port), Handler) as server:
            server.serve_forever()

    threading.Thread(target=serve, daemon=True).start()


@app.server(port=8000, unauthenticated=True, target_concurrency=1, max_concurrency=2, max_containers=2)
class Plain:
    @wherry.enter()
    def start(self) -> None:
        # Ready only when it listens, which is after the hook has returned.
        listen(8000, 0.5)

    @wherry.exit()
    def stop(self) -> None:
        print("Plain has stopped")


@app.server(port=9000, min_containers=2, exit_grace_period=3)
class Guarded:
    @wherry.enter()
    def start(self) -> None:
        listen(9000)


@app.server(port=8100, max_concurrency=1)
@wherry.sessioned()
class Rooms:
    @wherry.enter()
    def start(self) -> None:
        listen(8100)


@app.server(unauthenticated=True, startup_timeout=1)
class Deaf:
    @wherry.enter()
    def start(self) -> None:
        """Start nothing."""


@app.function()
def url_of(name: str) -> str | None:
    return wherry.Server.from_name("server-tests", name).get_url()
