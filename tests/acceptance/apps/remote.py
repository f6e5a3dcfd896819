"""What a client needs of a service that is elsewhere."""

from pathlib import Path

import wherry

app = wherry.App("remote")
note = Path(__file__).parent / "remote_note.txt"
image = wherry.Image.debian_slim().add_local_file(note, "/root/note.txt")
shared = wherry.Dict.from_name("seen", create_if_missing=True)
todo = wherry.Queue.from_name("todo", create_if_missing=True)
files = wherry.Volume.from_name("files", create_if_missing=True)


@app.function(
    image=image, volumes={"/files": files}, secrets=[wherry.Secret.from_dict({"WORD": "hush"})], max_containers=1
)
def work(number: int) -> int:
    import os

    print("working on", number)
    shared[number] = Path("/root/note.txt").read_text().strip() + os.environ["WORD"]
    todo.put(number)
    Path(f"/files/{number}").write_text("x" * number)
    return number * 2


@app.local_entrypoint()
def main() -> None:
    assert work.remote(21) == 42
    assert list(work.map(range(5))) == [0, 2, 4, 6, 8]
    assert dict(shared.items())[3] == "a file of this machinehush"
    assert sorted(todo.get() for _ in range(6)) == [0, 1, 2, 3, 4, 21]
    assert b"".join(files.read_file("3")) == b"xxx"
    large = b"large" * 1_000_000
    shared["large"] = large
    assert shared["large"] == large
    box = wherry.Sandbox.create("sleep", "60", app=app)
    process = box.exec("cat")
    process.stdin.write(b"over the wire")
    process.stdin.write_eof()
    process.stdin.drain()
    assert (process.stdout.read(), process.wait()) == ("over the wire", 0)
    box.terminate()
    print("all of it works")
