"""Containers that crawl a site together: a queue of pages to fetch, a dict of those seen, a dict of what was found.

wherry run examples/crawler.py --pages 60 --containers 4
"""

import re
import time
import urllib.request
from typing import TypedDict

import wherry

app = wherry.App("crawler", image=wherry.Image.debian_slim())


class Found(TypedDict):
    """What a crawler notes of a page."""

    words: int
    links: int
    by: int


@app.function(timeout=600)
def site(pages: int, address: wherry.Queue, closing: wherry.Queue) -> dict[str, int]:
    """Serve a site until it is closed; return how often each of its pages was asked for."""
    import http.server
    import socket
    import threading

    asked: dict[str, int] = {}

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked[self.path] = asked.get(self.path, 0) + 1
            number = int(self.path.strip("/"))
            links = {(number * 2 + step) % pages for step in (1, 2)} | {number // 3}
            body = "some words " * (number % 7) + "".join(f'<a href="/{link}">on</a> ' for link in sorted(links))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        address.put(f"http://{socket.gethostbyname(socket.gethostname())}:{server.server_port}")
        closing.get()
        server.shutdown()
    return asked


@app.function(timeout=600)
def crawl(number: int, crawlers: int, base: str, work: wherry.Queue, seen: wherry.Dict, found: wherry.Dict) -> int:
    """Fetch pages until there are no more, and return how many that were."""
    count = 0
    while (path := work.get()) is not None:
        with urllib.request.urlopen(base + path, timeout=10) as page:
            text = page.read().decode()
        links = re.findall('href="([^"]+)"', text)
        # Whoever notes a page first puts it into the queue: it is fetched once, by whomever.
        work.put_many([link for link in links if seen.put(link, number, skip_if_exists=True)])
        found[path] = Found(words=len(text.split()), links=len(links), by=number)
        count += 1
        if found.len() == seen.len():
            work.put_many([None] * crawlers)
    return count


@app.local_entrypoint()
def main(pages: int = 60, containers: int = 4) -> None:
    """Serve a site of so many pages, crawl it with so many containers, and print what they found."""
    began = time.monotonic()
    with (
        wherry.Queue.ephemeral() as address,
        wherry.Queue.ephemeral() as closing,
        wherry.Queue.ephemeral() as work,
        wherry.Dict.ephemeral({"/0": 0}) as seen,
        wherry.Dict.ephemeral() as found,
    ):
        serving = site.spawn(pages, address, closing)
        base = address.get()
        work.put("/0")
        share = list(crawl.starmap((number, containers, base, work, seen, found) for number in range(containers)))
        closing.put("enough")
        asked = serving.get()
        results: list[Found] = list(found.values())
        print(f"{len(results)} pages, {sum(page['links'] for page in results)} links, by {containers} containers")
        print(f"asked for more than once: {sum(count > 1 for count in asked.values())}")
        print(f"each had {', '.join(str(count) for count in share)} pages, in {time.monotonic() - began:.1f} s")
