"""Functions that have a bucket as a directory."""

import os
import time
from pathlib import Path

import wherry

app = wherry.App("bucket-mounts", image=wherry.Image.debian_slim())
# Where the test's S3 server is; in containers nobody asks.
ENDPOINT = os.environ.get("BUCKET_ENDPOINT", "http://127.0.0.1:1")
SECRET_KEY = os.environ.get("BUCKET_SECRET_KEY", "")


def bucket(
    name: str = "shared",
    secret_key: str = SECRET_KEY,
    endpoint: str = ENDPOINT,
    key_prefix: str | None = None,
    read_only: bool = False,
) -> wherry.CloudBucketMount:
    secret = wherry.Secret.from_dict({"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": secret_key})
    return wherry.CloudBucketMount(name, endpoint, key_prefix, secret, read_only=read_only)


# Mounted alike, so that all who name it share one mount.
mine = bucket()


@app.function(volumes={"/bucket": mine})
def write(name: str, text: str, seconds: float = 0.0) -> str:
    """Write a file and return the container's name; with `seconds`, say so first and take that long."""
    path = Path("/bucket", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if seconds:
        (path.parent / "begun").write_text("")
        time.sleep(seconds)
    with path.open("a") as file:
        file.write(text)
    return os.uname().nodename


@app.function(volumes={"/bucket": mine}, block_network=True)
def read(name: str) -> str:
    """Read a file in another container, which has no network."""
    return Path("/bucket", name).read_text()


@app.function(volumes={"/part": bucket(key_prefix="part/", read_only=True)})
def part(name: str = "") -> list[str]:
    """List what is below a prefix; with a name, write there."""
    if name:
        Path("/part", name).write_text("x")
    return sorted(os.listdir("/part"))


@app.function(volumes={"/bucket": bucket("missing")})
def in_no_bucket() -> None:
    pass


@app.function(volumes={"/bucket": bucket(secret_key="another")})
def with_another_key() -> None:
    pass


@app.function(volumes={"/bucket": bucket(endpoint="http://127.0.0.1:9")})
def at_no_store() -> None:
    pass
