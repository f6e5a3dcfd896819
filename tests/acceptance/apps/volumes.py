"""Two functions that share a volume, in containers of their own."""

import os
from pathlib import Path
from typing import Any

import wherry

app = wherry.App("volumes")
shared = wherry.Volume.from_name("acceptance-shared", create_if_missing=True)
files = wherry.NetworkFileSystem.from_name("acceptance-files", create_if_missing=True)
app.own = wherry.Volume.new()
HERE = Path(__file__).parent


@app.function(volumes={"/data": shared, "/own": app.own}, network_file_systems={"/files": files})
def write(path: str, text: str, fail: bool = False) -> None:
    """Write a file, and perhaps fail after that."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    if fail:
        raise ValueError("after writing")


@app.function(volumes={"/data": shared.read_only(), "/own": app.own.with_mount_options(sub_path="inner/part")})
def read(what: str, *args: Any) -> Any:
    """Do one thing in a container that may not write the shared volume."""
    if what == "read":
        return Path(args[0]).read_text()
    if what == "write":
        Path(args[0]).write_text("x")
    if what == "list":
        return sorted(os.listdir(args[0]))
    if what == "reload open":
        with open(args[0]):
            shared.reload()
    if what == "reload":
        shared.reload()
        shared.commit()
    if what == "client":
        with shared.batch_upload() as batch:
            batch.put_file(__file__, "from-inside.py")
        return [entry.path for entry in shared.listdir("/")], len(b"".join(shared.read_file("from-inside.py")))
    if what == "link":
        os.symlink(args[0], args[1])
    return None


@app.function(
    mounts=[
        wherry.Mount.from_local_file(HERE / "short.py", remote_path="/mounted/file.txt"),
        wherry.Mount.from_local_dir(HERE, remote_path="/mounted/dir", condition=lambda path: path.endswith("short.py")),
        wherry.Mount.from_local_python_packages("this"),
    ],
    block_network=True,
)
def mounted() -> tuple[int, list[str], bool]:
    """Return what the mounts gave."""
    import importlib.util

    found = importlib.util.find_spec("this")
    size = Path("/mounted/file.txt").stat().st_size
    return size, sorted(os.listdir("/mounted/dir")), found is not None
