"""Functions that open ports of their containers."""

import http.server
import threading
from typing import Any

import wherry

app = wherry.App("forwards", image=wherry.Image.debian_slim())


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{self.path} of the function".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@app.function(timeout=60)
def serve(told: wherry.Queue, go: wherry.Queue) -> str:
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with wherry.forward(8000) as tunnel:
        told.put((tunnel.url, tunnel.tcp_socket, tunnel.tls_socket))
        go.get(timeout=30)
    return "closed"


@app.function(block_network=True)
def without_network() -> None:
    with wherry.forward(8000):
        pass


@app.function()
def too_many() -> int:
    opened = []
    try:
        for port in range(8000, 8100):
            opened.append(wherry.forward(port))
            opened[-1].__enter__()
    except wherry.exception.ResourceExhaustedError:
        return len(opened) - 1
    finally:
        for one in opened:
            one.__exit__()
    return -1
