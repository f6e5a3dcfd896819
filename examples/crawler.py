"""Containers that crawl a site together: a queue of pages to fetch, a dict of those seen, a dict of what was found.

wherry run examples/crawler.py --pages 60 --containers 4
"""

import re
import time
from collections import Counter
from typing import TypedDict

import wherry

app = wherry.App("crawler", image=wherry.Image.debian_slim())


class Found(TypedDict):
    """What a crawler notes of a page."""

    words: int
    links: int
    by: int


@app.function(timeout=600)
def page(path: str, pages: int, asked: wherry.Queue) -> str:
    """Return a page of the site, and note that it was asked for."""
    asked.put(path)
    number = int(path.strip("/"))
    links = {(number * 2 + step) % pages for step in (1, 2)} | {number // 3}
    return "some words " * (number % 7) + "".join(f'<a href="/{link}">on</a> ' for link in sorted(links))


@app.function(timeout=600)
def crawl(
    number: int,
    crawlers: int,
    pages: int,
    asked: wherry.Queue,
    work: wherry.Queue,
    seen: wherry.Dict,
    found: wherry.Dict,
) -> int:
    """Fetch pages until there are no more, and return how many that were."""
    count = 0
    while (path := work.get()) is not None:
        text = page.remote(path, pages, asked)
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
    """Make a site of so many pages, crawl it with so many containers, and print what they found."""
    began = time.monotonic()
    with (
        wherry.Queue.ephemeral() as asked,
        wherry.Queue.ephemeral() as work,
        wherry.Dict.ephemeral({"/0": 0}) as seen,
        wherry.Dict.ephemeral() as found,
    ):
        work.put("/0")
        share = list(
            crawl.starmap((number, containers, pages, asked, work, seen, found) for number in range(containers))
        )
        times = Counter(asked.get_many(asked.len(), block=False))
        results: list[Found] = list(found.values())
        print(f"{len(results)} pages, {sum(one['links'] for one in results)} links, by {containers} containers")
        print(f"asked for more than once: {sum(count > 1 for count in times.values())}")
        print(f"each had {', '.join(str(count) for count in share)} pages, in {time.monotonic() - began:.1f} s")
