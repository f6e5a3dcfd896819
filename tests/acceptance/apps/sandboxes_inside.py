"""Functions that make sandboxes."""

import urllib.error
import urllib.request

import wherry

app = wherry.App("sandboxes-inside", image=wherry.Image.debian_slim(), secrets=[wherry.Secret.from_dict({"OWN": "s1"})])

PROBE = wherry.Probe.with_tcp(8000)
SERVE = (
    "import http.server\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200); self.send_header('Content-Length', '5'); self.end_headers()\n"
    "        self.wfile.write(b'there')\n"
    "http.server.ThreadingHTTPServer(('0.0.0.0', 8000), Handler).serve_forever()\n"
)


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


@app.function(timeout=60)
def serve_and_ask(done: wherry.Queue) -> None:
    """Hand out where a port of a sandbox answers, once it does, and wait."""
    command = ("python3", "-c", SERVE)
    with wherry.Sandbox.create(*command, encrypted_ports=[8000], readiness_probe=PROBE, timeout=60) as sandbox:
        sandbox.wait_until_ready(timeout=30)
        url = sandbox.tunnels()[8000].url
        token = sandbox.create_connect_token(port=8000)
        request = urllib.request.Request(token.url, headers={"Authorization": f"Bearer {token.token}"})
        with urllib.request.urlopen(request, timeout=10) as response:
            by_token = response.read().decode()
        done.put((url, ask(url), by_token))
        done.get(partition="over", timeout=60)


@app.function()
def ask_there(url: str) -> str:
    return ask(url)


@app.function(block_network=True)
def ask_without_network(url: str) -> str:
    return ask(url)


def ask(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.code)
