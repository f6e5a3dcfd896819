"""Blobs in a bucket of an S3 server: what was acknowledged is there when the host's own disk is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.acceptance.elsewhere import elsewhere
from tests.acceptance.servers import BucketServer
from tests.waiting import wait_until

APPS = Path(__file__).parent / "apps"

PUT = """
import json, sys, wherry
sys.path.insert(0, {apps})
from buckets import app, double
running = app.run(detach=True)
running.__enter__()
assert double.remote(b"a" * (2 << 20)) == b"a" * (4 << 20)
wherry.Dict.from_name("large", create_if_missing=True)["key"] = b"d" * (3 << 20)
queue = wherry.Queue.from_name("large", create_if_missing=True)
queue.put_many(["small", b"q" * (3 << 20)])
done = double.spawn(b"1" * (2 << 20))
wherry.gather(done)
first, second = (double.spawn(letter * (2 << 20), 3.0) for letter in (b"2", b"3"))
print(json.dumps([done.object_id, first.object_id, second.object_id]))
running.__exit__(None, None, None)
"""
GET = """
import wherry
# Its source files are not on this host any more; its app runs until the last call has ended.
assert wherry.Function.from_name("buckets", "triple").remote(b"x" * (1 << 20)) == b"x" * (3 << 20)
for call_id, letter in zip({ids}, (b"1", b"2", b"3")):
    assert wherry.FunctionCall.from_id(call_id).get(timeout=60) == letter * (4 << 20)
assert wherry.Dict.from_name("large")["key"] == b"d" * (3 << 20)
queue = wherry.Queue.from_name("large")
assert queue.get_many(2) == ["small", b"q" * (3 << 20)]
wherry.Dict.delete("large")
"""


def test_what_was_acknowledged_outlives_the_hosts_disk(tmp_path: Path) -> None:
    with (
        BucketServer(tmp_path).serving("blobs") as server,
        elsewhere(
            WHERRY_BLOBS_URL="s3://blobs/wherry",
            WHERRY_BLOBS_ENDPOINT=server.endpoint,
            WHERRY_BLOBS_REGION="us-east-1",
            WHERRY_BLOBS_ACCESS_KEY="test",
            WHERRY_BLOBS_SECRET_KEY="test",
        ) as other,
    ):
        ids = json.loads(other.program(PUT.replace("{apps}", repr(str(APPS)))))
        in_bucket = server.keys("blobs")
        # A dict's value, a queue's item, arguments, a result that is still to be fetched; nothing of `remote`.
        assert 5 <= len([key for key in in_bucket if key.startswith("wherry/payloads/bl-")]) <= 8

        other.service.signal(signal.SIGKILL)
        wait_until(lambda: not other.service.is_running, "the service has ended")
        blobs = other.service.state_dir / "blobs"
        for path in blobs.iterdir():
            if path.name != "owner":
                shutil.rmtree(path)
        other.start()

        other.program(GET.replace("{ids}", repr(ids)))
        listed = json.loads(other.wherry("dict", "list", "--json").stdout)
        assert [row["name"] for row in listed] == []


def test_a_bucket_that_is_not_there_is_told(tmp_path: Path) -> None:
    variables = {
        "WHERRY_BLOBS_URL": "s3://nowhere",
        "WHERRY_BLOBS_ACCESS_KEY": "test",
        "WHERRY_BLOBS_SECRET_KEY": "test",
    }
    with BucketServer(tmp_path).serving() as server, tempfile.TemporaryDirectory(prefix="wherry-") as folder:
        env = {**os.environ, **variables, "WHERRY_BLOBS_ENDPOINT": server.endpoint}
        command = [sys.executable, "-m", "wherry_service", "--state-dir", folder]
        ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    told = ran.stderr.strip()
    assert told.startswith("wherry: the store of blobs can't ")
    assert "s3://nowhere/owner: " in told
    assert "bucket does not exist" in told
    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False)
