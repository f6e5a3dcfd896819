"""`wherry serve`: what it says of each version."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wherry._connection.client import Client
from wherry.cli.serve import Served


class Publishing:
    """Stands in for the process that loads and publishes the source: it ends as the test says."""

    def __init__(self, command: list[str], **how: Any) -> None:
        ends_well, name = Publishing.ends.pop(0)
        self._code = 0 if ends_well else 1
        if ends_well:
            files = {str(Publishing.source): Publishing.digests.pop(0)}
            Path(command[-1]).write_text(json.dumps({"app_id": "ap-1", "name": name, "files": files}))

    ends: list[tuple[bool, str]]
    digests: list[str]
    source: Path

    def wait(self) -> int:
        return self._code


@pytest.mark.parametrize("first_fails", [False, True])
def test_only_what_was_published_is_called_reloaded(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    first_fails: bool,
) -> None:
    Publishing.source = tmp_path / "main.py"
    Publishing.source.write_text("one")
    # The digests never fit: each look finds a change.
    Publishing.digests = ["a", "b", "c"]
    Publishing.ends = [(not first_fails, "shop"), (False, ""), (True, "shop"), (True, "shop")][: 3 + first_fails]
    monkeypatch.setattr(subprocess, "Popen", Publishing)
    stop = threading.Event()

    def watched(*folders: str, **how: Any) -> Iterator[None]:
        while Publishing.ends:
            # What failed is tried again once something has changed.
            Publishing.source.write_text(f"{len(Publishing.ends)}")
            yield None
        stop.set()

    monkeypatch.setitem(sys.modules, "watchfiles", type("Watching", (), {"watch": staticmethod(watched)}))
    served = Served(client, str(Publishing.source), None)
    served.publish()
    served.follow(stop)
    lines = [line.partition(" in 0.")[0].split(";")[0] for line in capsys.readouterr().err.splitlines()]
    failed = "wherry: this could not be published"
    serving, reloaded = "wherry: serving shop (ap-1)", "wherry: reloaded"
    expected = [failed, failed, serving, reloaded] if first_fails else [serving, failed, reloaded]
    assert lines == expected
