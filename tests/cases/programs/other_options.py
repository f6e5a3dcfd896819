"""Functions and classes with other volumes, options that mean nothing here, and exceptions that `map` returns."""

import wherry

COMMANDS = {"run": "wherry run -q {file} 2>/dev/null"}
EXPECTED = {
    "run": (0, "written\nFalse\n['a', 'b']\nTrue True ValueError('odd', 1)\n[0, 'odd']\n[0, ValueError('odd', 1)]\n")
}

app = wherry.App("case-other-options", volumes={"/base": wherry.Volume.from_name("case-base", create_if_missing=True)})
volume = wherry.Volume.from_name("case-other-options", create_if_missing=True)


@app.function()
def write(name):
    import os
    from pathlib import Path

    Path("/other", name).write_text("x")
    return os.path.ismount("/base")


@app.cls()
class Lists:
    @wherry.method()
    def names(self):
        import os

        return sorted(os.listdir("/data/sub"))


@app.function()
def refuse_odd(x):
    if x % 2:
        raise ValueError("odd", x)
    return x


@app.local_entrypoint()
def main():
    with volume.batch_upload(force=True) as batch:
        import io

        for name in ("a", "b"):
            batch.put_file(io.BytesIO(b"x"), f"sub/{name}")
    changed = write.with_options(volumes={"/other": volume}, region="us-east", cloud="aws")
    has_base = changed.remote("written")
    print("".join(entry.path for entry in volume.listdir("/") if entry.path == "written"))
    print(has_base)
    print(Lists.with_options(volumes={"/data": volume})().names.remote())
    _, failed = refuse_odd.map([0, 1], return_exceptions=True)
    print(isinstance(failed, ValueError), isinstance(failed, wherry.exception.UserCodeException), repr(failed.exc))
    print(
        [x if isinstance(x, int) else x.exc.args[0] for x in refuse_odd.starmap([(0,), (1,)], return_exceptions=True)]
    )
    print(list(refuse_odd.map([0, 1], return_exceptions=True)))
    volume.remove_file("written")
