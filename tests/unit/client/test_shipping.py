"""Files that change while they are sent."""

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.service import FakeService
from wherry._connection.client import Client
from wherry._publish.shipping import put_tree, send
from wherry._publish.source import SourceFile
from wherry.exception import InvalidError


@pytest.fixture
def checking(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> FakeService:
    """A service that reads contents against their hashes, as the real one does."""
    import hashlib

    upload = service.upload

    def checked(method: str, requests: Any) -> Any:
        chunks = list(requests)
        if f"sha256:{hashlib.sha256(b''.join(chunk.data for chunk in chunks)).hexdigest()}" != chunks[0].blob_id:
            raise InvalidError("another hash")
        return upload(method, chunks)

    monkeypatch.setattr(service, "upload", checked)
    return service


def test_what_is_written_to_its_end_is_not_sent(checking: FakeService, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"x" * (3 << 20))
    file = SourceFile("app.log", path)
    with path.open("ab") as log:
        log.write(b"more")
    send(client, [file], as_read=True)
    assert checking.uploads[file.blob_id] == b"x" * (3 << 20)


def test_a_file_that_was_written_anew_is_sent_as_it_is_then(
    checking: FakeService, client: Client, tmp_path: Path
) -> None:
    for name in "abc":
        (tmp_path / name).write_text("before")
    files = [SourceFile(name, tmp_path / name) for name in "abc"]
    (tmp_path / "a").write_text("after, and longer")
    (tmp_path / "b").write_text("cut")
    assert send(client, files)[0] == 1
    put_tree(client, files)
    contents = [checking.uploads[file.blob_id] for file in checking.sources[-1].files]
    assert contents == [b"after, and longer", b"cut", b"before"]


def test_where_its_hash_was_told_it_is_named(checking: FakeService, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("before")
    file = SourceFile("data", path)
    path.write_text("after")
    with pytest.raises(InvalidError, match="data changed while it was sent: try again"):
        send(client, [file], as_read=True)


def test_a_file_that_is_gone_is_named(checking: FakeService, client: Client, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("before")
    file = SourceFile("data", tmp_path / "data")
    (tmp_path / "data").unlink()
    with pytest.raises(InvalidError, match="data could not be sent: No such file or directory"):
        send(client, [file])
