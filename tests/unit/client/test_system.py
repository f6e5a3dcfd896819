"""`wherry system df` and `prune`, and what `server status` says of disks: on answers that are given."""

import json
import sys
from typing import Any

import pytest

from wherry.cli import server, system
from wherry.cli._disk import described, warnings
from wherry.cli.main import main
from wherry_proto.messages import (
    DiskPart,
    DiskSpace,
    EngineInfo,
    ImageInfo,
    ImagePruneRequest,
    ImagePruneResponse,
    Message,
    ServerDisk,
    ServerInfo,
    ServerPruneCacheRequest,
    ServerPruneCacheResponse,
)

GB = 10**9
ROOMY = DiskSpace(path="/state", free_bytes=50 * GB, total_bytes=100 * GB)
FULL = DiskSpace(path="/var/lib/docker", free_bytes=9 * GB, total_bytes=100 * GB)


class Client:
    """Answers, and removes what it is told to."""

    def __init__(self) -> None:
        self.told = ServerDisk(
            parts=[
                DiskPart(name="volumes", bytes=3 * GB, files=1, complete=True),
                DiskPart(name="logs", bytes=0, files=0, complete=False),
            ],
            disks=[ROOMY, FULL],
            num_images=2,
            images_bytes=GB,
            cache_bytes=2 * GB,
            cache_unused_bytes=GB,
        )
        self.images = [ImageInfo(image_id="im-1", size_bytes=GB, summary="debian_slim")]
        self.cache_bytes = GB
        self.asked: list[Message] = []

    def call(self, method: str, request: Any, kind: type[Message]) -> Message:
        self.asked.append(request)
        if method == "Server.Info":
            return ServerInfo(state_dir="/state")
        if method == "Server.Disk":
            return self.told
        if method == "Images.Prune":
            return ImagePruneResponse(removed=self.images, freed_bytes=sum(one.size_bytes for one in self.images))
        assert method == "Server.PruneCache"
        return ServerPruneCacheResponse(freed_bytes=self.cache_bytes)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setattr(system, "default_client", lambda: made)
    return made


class Said:
    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._patch = capsys, monkeypatch

    def __call__(self, *words: str) -> tuple[int, str, str]:
        self._patch.setattr(sys, "argv", ["wherry", "system", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        return int(ended.value.code or 0), out, err


@pytest.fixture
def wherry(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    return Said(capsys, monkeypatch)


def test_df_shows_each_part_and_warns_of_a_full_disk(client: Client, wherry: Said) -> None:
    code, out, err = wherry("df")
    assert code == 0
    assert [line.rstrip() for line in out.splitlines()] == [
        "State directory: /state",
        "what         size    details",
        "volumes      3.0 GB  1 file",
        "logs         0 B     0 files and more",
        "images       1.0 GB  2 images",
        "build cache  2.0 GB  1.0 GB unused; all builds",
        "Disk: 50 GB of 100 GB free at /state",
        "Disk: 9.0 GB of 100 GB free at /var/lib/docker",
    ]
    assert err == (
        "Warning: less than 10% of the disk at /var/lib/docker is free. `wherry system df` shows what takes room, "
        "`wherry system prune` makes some.\n"
    )


def test_df_says_it_where_the_engine_does_not_answer(client: Client, wherry: Said) -> None:
    client.told = ServerDisk(engine_error="Docker does not answer", disks=[ROOMY])
    _, out, err = wherry("df")
    assert "Images and build cache: Docker does not answer\n" in out
    assert "build cache  " not in out
    assert err == ""


def test_df_as_json(client: Client, wherry: Said) -> None:
    told = json.loads(wherry("df", "--json")[1])
    assert told["state_dir"] == "/state"
    assert told["parts"][0] == {"name": "volumes", "bytes": 3 * GB, "files": 1, "complete": True}
    assert told["images"] == {"count": 2, "bytes": GB}
    assert told["build_cache"] == {"bytes": 2 * GB, "unused_bytes": GB}
    assert [disk["low"] for disk in told["disks"]] == [False, True]


def test_prune_shows_first_and_asks(client: Client, wherry: Said) -> None:
    code, _, err = wherry("prune")
    assert code == 1
    assert "im-1  1.0 GB  debian_slim\n1 image, at most 1.0 GB\n" in err
    assert "--yes" in err
    assert client.asked == [ImagePruneRequest(older_than_days=-1.0, dry_run=True)]


def test_a_dry_run_of_prune_removes_nothing(client: Client, wherry: Said) -> None:
    code, out, err = wherry("prune", "--all", "--build-cache", "--dry-run")
    assert (code, out) == (0, "")
    assert "1 image, at most 1.0 GB; build cache, 1.0 GB\n" in err
    assert client.asked == [
        ImagePruneRequest(older_than_days=0.0, dry_run=True),
        ServerPruneCacheRequest(dry_run=True),
    ]


def test_prune_removes_what_it_was_told_to(client: Client, wherry: Said) -> None:
    code, out, _ = wherry("prune", "--days", "3", "--build-cache", "-y", "--json")
    assert code == 0
    assert json.loads(out) == {"removed": True, "images": ["im-1"], "images_bytes": GB, "cache_bytes": GB}
    assert client.asked[2:] == [
        ImagePruneRequest(older_than_days=3.0),
        ServerPruneCacheRequest(),
    ]


def test_prune_of_nothing_asks_nothing(client: Client, wherry: Said) -> None:
    client.images, client.cache_bytes = [], 0
    code, out, _ = wherry("prune", "--build-cache")
    assert (code, out) == (0, "There is nothing to remove.\n")
    assert json.loads(wherry("prune", "--json")[1])["removed"] is False


@pytest.mark.parametrize(("free", "low"), [(10, False), (9.99, True), (0, True)])
def test_a_disk_is_low_below_a_tenth(free: float, low: bool) -> None:
    disk = DiskSpace(path="/", free_bytes=int(free * GB), total_bytes=100 * GB)
    assert described([disk])[0]["low"] is low
    assert bool(warnings([disk])) is low


@pytest.mark.parametrize("arguments", [[], ["--json"]])
@pytest.mark.parametrize(("is_reachable", "code"), [(True, 0), (False, 3)])
def test_status_exits_with_3_where_the_engine_does_not_answer(
    arguments: list[str], is_reachable: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    class Told:
        def call(self, method: str, request: Any, timeout: float) -> Message:
            assert method == "Server.Info"
            return ServerInfo(version="1", engine=EngineInfo(reachable=is_reachable, error="No engine answers"))

    monkeypatch.setattr(server.LocalServer, "answers", lambda _: True)
    monkeypatch.setattr(server, "open_transport", lambda *_: Told())
    monkeypatch.setattr(sys, "argv", ["wherry", "server", "status", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert (caught.value.code or 0) == code
    assert is_reachable or "No engine answers" in capsys.readouterr().out
