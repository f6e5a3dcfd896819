"""Functions that make sandboxes."""

import wherry

app = wherry.App("sandboxes-inside", image=wherry.Image.debian_slim(), secrets=[wherry.Secret.from_dict({"OWN": "s1"})])


@app.function()
def everything(code: str) -> dict[str, object]:
    """Make one and use all of it."""
    found: dict[str, object] = {}
    first = wherry.Sandbox.create("python3", "-c", code, app=app, timeout=60)
    found["code"] = first.wait()
    found["printed"] = first.stdout.read()
    with wherry.Sandbox.create(
        name="box", tags={"of": "function"}, secrets=[wherry.Secret.from_dict({"MADE": "inside"})], timeout=60
    ) as box:
        process = box.exec("sh", "-c", "cat; echo $MADE; exit 3")
        process.stdin.write("typed\n")
        process.stdin.write_eof()
        found["exec"] = [process.stdout.read(), process.wait()]
        box.filesystem.write("/root/kept", b"kept")
        found["listed"] = [one.object_id for one in wherry.Sandbox.list()] == [box.object_id]
        found["named"] = wherry.Sandbox.from_name(app.name, "box") == box
        image = box.snapshot_filesystem()
    with wherry.Sandbox.create(image=image, timeout=60) as again:
        found["snapshot"] = again.filesystem.read("/root/kept")
    return found


@app.function(block_network=True)
def without_network(blocked: bool) -> str:
    with wherry.Sandbox.create(block_network=blocked, timeout=60) as sandbox:
        return sandbox.exec("ls", "/sys/class/net").stdout.read()


@app.function(block_network=True)
def by_way_of(sandbox_id: str) -> str:
    """Reach the network by another's sandbox."""
    return wherry.Sandbox.from_id(sandbox_id).exec("ls", "/sys/class/net").stdout.read()


@app.function()
def read_variable(sandbox: wherry.Sandbox, name: str) -> str:
    return sandbox.exec("sh", "-c", f"echo ${name}").stdout.read().strip()


@app.function()
def build() -> str:
    image = wherry.Image.debian_slim().run_commands("cat /proc/net/route")
    return wherry.Sandbox.create(image=image).object_id


@app.function()
def take(name: str) -> str:
    return wherry.Sandbox.create(secrets=[wherry.Secret.from_name(name)]).object_id
