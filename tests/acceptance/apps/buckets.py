"""Functions of a service whose blobs are kept in a bucket."""

import time

import wherry

app = wherry.App("buckets", image=wherry.Image.debian_slim())


@app.function(max_containers=1)
def double(data: bytes, seconds: float = 0.0) -> bytes:
    time.sleep(seconds)
    return data + data


@app.function()
def triple(data: bytes) -> bytes:
    return data * 3
