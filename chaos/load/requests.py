"""Requests to a web endpoint, each on a connection of its own; and a websocket that says one thing after another."""

import hashlib
import http.client
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import wherry
from chaos.client import Client
from chaos.functions import APP

TIMEOUT_S = 60.0
SAID_AT_ONCE = 20


def run(client: Client) -> None:
    """Ask until told to stop."""
    site: wherry.Function[..., Any] = wherry.Function.from_name(APP, "site")
    url = urlsplit(site.web_url)
    talk = threading.Thread(target=_talk, args=(client, url))
    talk.start()
    number = 0
    while not client.stopping:
        number += 1
        body = client.random.randbytes(client.random.choice([0, 100, 100_000]))
        with client.asking("request", query=f"n={number}", sha=hashlib.sha256(body).hexdigest()) as answer:
            connection = http.client.HTTPConnection("127.0.0.1", url.port or 80, timeout=TIMEOUT_S)
            try:
                connection.request("POST", f"/?n={number}", body, {"host": url.netloc})
                response = connection.getresponse()
                answer.facts["status"] = response.status
                answer.facts["text"] = response.read().decode(errors="replace")[:500]
            finally:
                connection.close()
        client.rest(answer)
        client.pause(0.1)
    talk.join()


def _talk(client: Client, url: Any) -> None:
    from websockets.sync.client import connect  # noqa: PLC0415 - start-up cost: only for this kind of load

    while not client.stopping:
        with client.asking("websocket", count=SAID_AT_ONCE) as answer:
            sock = socket.create_connection(("127.0.0.1", url.port or 80), timeout=TIMEOUT_S)
            with connect(f"ws://{url.netloc}/ws", sock=sock, proxy=None, open_timeout=TIMEOUT_S) as talk:
                for number in range(SAID_AT_ONCE):
                    talk.send(str(number))
                    answer.part(heard=[talk.recv(timeout=TIMEOUT_S)])
                    time.sleep(0.1)
        client.rest(answer)
