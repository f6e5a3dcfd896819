"""Real servers that tests start on this machine: a registry of images, a second engine."""

import http.client
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
from docker.errors import DockerException

from tests.waiting import wait_until


@contextmanager
def closing_engine(address: str | None = None) -> Iterator[docker.DockerClient]:
    """The engine of this machine, or the one at an address."""
    engine = docker.DockerClient(base_url=address) if address else docker.from_env()
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def image_registry(folder: Path, users: Mapping[str, str] | None = None) -> Iterator[str]:
    """A registry below a folder, open to all or to these users with their passwords; gives its address."""
    program = shutil.which("docker-registry")
    assert program is not None, "docker-registry is not installed: ./dev setup does it"
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as free:
        port = free.server_address[1]
    folder.mkdir(exist_ok=True)
    lines = [
        "version: 0.1\nlog: {level: error}",
        f"storage: {{filesystem: {{rootdirectory: {folder}/images}}}}",
        f"http: {{addr: '127.0.0.1:{port}'}}",
    ]
    if users:
        (folder / "users").write_text("".join(f"{user}:{_bcrypt(password)}\n" for user, password in users.items()))
        lines.append(f"auth: {{htpasswd: {{realm: test, path: {folder}/users}}}}")
    config = folder / "registry.yml"
    config.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status in (200, 401)
        except OSError:
            return False
        finally:
            connection.close()

    try:
        wait_until(answers, "the registry answers")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _bcrypt(password: str) -> str:
    # The only kind that the registry reads; Perl is part of every Debian, and has its C library's.
    program = 'print crypt($ARGV[0], q($2y$05$) . "abcdefghijklmnopqrstuu")'
    made = subprocess.run(["perl", "-e", program, password], capture_output=True, text=True, check=True).stdout
    assert made.startswith("$2y$")
    return made


@contextmanager
def second_engine(disk_mib: int) -> Iterator[str]:
    """An engine of its own, as another host's would be: with nothing on its disk, which is small; gives its address.

    It has no bridge, so that it leaves this machine's network alone: its containers have no network.
    """
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    (folder / "disk").mkdir()
    (folder / "settings.json").write_text("{}")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk_mib}m", "tmpfs", str(folder / "disk")], check=True)
    address = f"unix://{folder}/docker.sock"
    command = [
        "dockerd", f"--data-root={folder}/disk", f"--exec-root={folder}/run", f"--pidfile={folder}/pid",
        f"--config-file={folder}/settings.json", f"--host={address}", "--bridge=none", "--iptables=false",
        "--ip6tables=false", "--ip-forward=false",
    ]  # fmt: skip
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PATH": path})

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()[-4000:]
        try:
            with closing_engine(address) as engine:
                return bool(engine.ping())
        except DockerException:
            return False

    try:
        wait_until(answers, "the second engine answers", 60)
        yield address
    finally:
        process.terminate()
        process.wait()
        subprocess.run(["umount", "--lazy", str(folder / "disk")], check=True)
        shutil.rmtree(folder)
