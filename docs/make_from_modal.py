"""Writes docs/from-modal.md from the table of `wherry._base.elsewhere`: `./dev docs [--check]`."""

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from docs.made_page import write
from wherry._base.elsewhere import ROWS, Row

PAGE = Path(__file__).parent / "from-modal.md"
MISSING = Path(__file__).parents[1] / "tests" / "unit" / "parity" / "missing.txt"
HEAD = """# From Modal to Wherry

Wherry has the API of Modal's Python SDK, with its names of 2023 and of 1.6. A test compares every public
name, parameter and command of Modal 1.6.4 with Wherry's (`./dev parity` counts them). This page lists what
is the same, what is more, what differs, and what does not exist. Its tables are made from the one that
errors and warnings use: `client/wherry/_base/elsewhere.py`.

To run a program without changing its imports, see [Programs written for Modal](modal-programs.md).

## What is the same

- Apps, functions, classes and methods: the decorators, their parameters, and the ways to call
  (`remote`, `map`, `starmap`, `for_each`, `spawn`, `spawn_map`, `remote_gen`, `local`), each also with `.aio`.
- Images and all their steps, secrets, dicts, queues, volumes, buckets and network file systems.
- Sandboxes, their files, `exec`, tunnels and snapshots of their files.
- Web endpoints, schedules, retries, batches, concurrent inputs, autoscaling, GPUs.
- `run`, `deploy`, `serve`, `shell`, `app`, `container`, `volume` and the other commands.
- Exceptions have the same names and the same bases.
- Older names work, with one warning that gives the new name: `Stub`, `web_endpoint`, `keep_warm`,
  `concurrency_limit`, `Secret.create_deployed`, `copy_local_file` and the like.

## What is more

- It runs on your own machines. Docker and Python are enough; there is no account.
- A call to a warm function of the same machine takes less than a millisecond.
- The service can be killed at any moment: open calls go on, and each result comes once.
- A new version of an app serves only when its containers are warm. `wherry deploy --dry-run` shows what would change.
- `Dict.put(ttl=…)` sets how long an entry stays. Dicts, queues and volumes never expire by themselves.
- All other containers see at once what one container writes into a volume. `commit()` and `reload()` are not needed.
- Functions work in any image with Python 3.10 or newer. They need no packages of Wherry's.
- `wherry schedule list|run|pause`, `wherry audit`, `wherry image show|prune`, and the logs of containers that are gone.

## What differs

"""


def page() -> str:
    """Return the page's text."""
    parts = [HEAD, _table("parameter", "here", (row for row in ROWS if row.how == "differs"))]
    parts.append("""
- `modal.__version__` is Wherry's version.
- `wherry` stands for `modal` on the command line. Settings are in `~/.wherry.toml` and in variables named
  `WHERRY_…` ([commands](commands.md#variables)).
- URLs of web endpoints are addresses of your own service ([functions with URLs](web.md)). They have TLS only where
  the service's domain has it: a program that writes `https://` itself needs such a domain.
- An app whose name has a `/` runs under another name, and can't be deployed, as with Modal.
- The name of a bucket is checked where it is written: a placeholder such as `"<my-bucket>"` is an error there.
- A class with web methods makes all its apps when a container starts. If one can't be made, no method is called.
- There is one token for a person or program, with rights in named environments ([tokens](tokens.md)).

## What makes no difference

These mean nothing on your own machines. Programs that use them run.

### Accepted

""")
    parts.append(_table("what", "why", (row for row in ROWS if row.how == "accepted")))
    parts.append("\n### Ignored, with one warning\n\n")
    parts.append(_table("what", "why", (row for row in ROWS if row.how == "ignored")))
    parts.append("""
## What does not exist

These can be imported and named. Where one is used, `wherry.exception.InvalidError` gives the reason in this table.

""")
    parts.append(_table("what", "why, and what to do", (row for row in ROWS if row.how == "refused")))
    names, commands = _missing(MISSING.read_text().splitlines())
    if names or commands:
        parts.append(
            "\n## What is not there yet\n\nThese could be, and are not. Names of Python raise `AttributeError`.\n"
        )
        parts += [f"\n{_listed(found)}\n" for found in (names, commands) if found]
    return "".join(parts)


def _missing(facts: list[str]) -> tuple[list[str], list[str]]:
    """Return the names and the commands that are missing, each without what is in another of them."""
    names = [fact for fact in facts if fact.startswith("modal.") and not re.search(r"[( ]|\.aio$", fact)]
    whole = [name.removeprefix("modal.") for name in names if name.rpartition(".")[0] not in names]
    commands = [fact for fact in facts if fact.startswith("modal ") and "<" not in fact]
    words = [fact for fact in commands if not any(fact != one and fact.startswith(f"{one} ") for one in commands)]
    return sorted(whole), sorted(f"wherry {one.removeprefix('modal ')}" for one in words)


def _listed(found: list[str]) -> str:
    return textwrap.fill(", ".join(f"`{one}`" for one in found) + ".", 110, break_on_hyphens=False)


def _table(first: str, second: str, rows: Iterable[Row]) -> str:
    lines = [f"| {first} | {second} |", "|---|---|"]
    lines += [
        f"| {row.title} | {_sentence(row.why)}{f' {_sentence(row.instead)}' if row.instead else ''} |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return re.sub(r"^[a-z]", lambda first: first[0].upper(), text) + "."


if __name__ == "__main__":
    write(PAGE, page, "./dev docs", __doc__)
