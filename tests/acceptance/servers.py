"""Real servers that tests start on this machine: a registry of images, a second engine."""

import http.client
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import obstore
from obstore.store import S3Store

from tests.waiting import wait_until


@contextmanager
def closing_engine(address: str | None = None) -> Iterator[docker.DockerClient]:
    """The engine of this machine, or the one at an address."""
    engine = docker.DockerClient(base_url=address) if address else docker.from_env()
    try:
        yield engine
    finally:
        engine.close()


class ImageRegistry:
    """A registry below a folder, open to all or to these users with their passwords."""

    def __init__(self, folder: Path, users: Mapping[str, str] | None = None) -> None:
        program = shutil.which("docker-registry")
        assert program is not None, "docker-registry is not installed: ./dev setup does it"
        with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as free:
            port = free.server_address[1]
        self.address = f"127.0.0.1:{port}"
        folder.mkdir(exist_ok=True)
        lines = [
            "version: 0.1\nlog: {level: error}",
            f"storage: {{filesystem: {{rootdirectory: {folder}/images}}}}",
            f"http: {{addr: '{self.address}'}}",
        ]
        if users:
            (folder / "users").write_text("".join(f"{user}:{_bcrypt(word)}\n" for user, word in users.items()))
            lines.append(f"auth: {{htpasswd: {{realm: test, path: {folder}/users}}}}")
        config = folder / "registry.yml"
        config.write_text("\n".join(lines) + "\n")
        self.command = [program, "serve", str(config)]

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve; gives the address."""
        process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(self._answers, "the registry answers")
            yield self.address
        finally:
            process.terminate()
            process.wait()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self.address, timeout=5)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status in (200, 401)
        except OSError:
            return False
        finally:
            connection.close()


class BucketServer:
    """An S3 server, rclone's: each bucket a directory of a folder."""

    def __init__(self, folder: Path, secret_key: str = "test") -> None:
        self.folder = folder
        self.secret_key = secret_key
        with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as free:
            self.port = int(free.server_address[1])
        self.endpoint = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def serving(self, *buckets: str) -> Iterator["BucketServer"]:
        """Serve, with these buckets."""
        for bucket in buckets:
            (self.folder / bucket).mkdir(exist_ok=True)
        program = Path(sys.executable).with_name("rclone")
        command = [
            str(program), "serve", "s3", "--config", "/dev/null", "--addr", f"127.0.0.1:{self.port}",
            "--auth-key", f"test,{self.secret_key}", str(self.folder),
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(self._answers, "the S3 server answers")
            yield self
        finally:
            process.terminate()
            process.wait()

    def store(self, bucket: str) -> S3Store:
        """Return the bucket as another client sees it."""
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id="test",
            secret_access_key=self.secret_key,
            client_options={"allow_http": True},
        )

    def keys(self, bucket: str) -> set[str]:
        """Return the keys of all objects in a bucket."""
        return {str(meta["path"]) for page in obstore.list(self.store(bucket)) for meta in page}

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True


def _bcrypt(password: str) -> str:
    # The only kind that the registry reads; Perl is part of every Debian, and has its C library's.
    program = 'print crypt($ARGV[0], q($2y$05$) . "abcdefghijklmnopqrstuu")'
    made = subprocess.run(["perl", "-e", program, password], capture_output=True, text=True, check=True).stdout
    assert made.startswith("$2y$")
    return made


@contextmanager
def second_engine(disk_mib: int, registry: ImageRegistry) -> Iterator[str]:
    """An engine as another host's would be: nothing on its disk, which is small; gives its address.

    It is in a network of its own, never in this machine's: an engine takes another's default bridge away. The registry
    has a second server in that network, at the same address and with the same files.
    """
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    (folder / "disk").mkdir()
    (folder / "settings.json").write_text("{}")
    address = f"unix://{folder}/docker.sock"
    engine = [
        "dockerd", f"--data-root={folder}/disk", f"--exec-root={folder}/run", f"--pidfile={folder}/pid",
        f"--config-file={folder}/settings.json", f"--host={address}", "--bridge=none", "--iptables=false",
    ]  # fmt: skip
    script = (
        f"ip link set lo up && mount -t tmpfs -o size={disk_mib}m tmpfs {folder}/disk || exit 1\n"
        f"{shlex.join(registry.command)} >/dev/null 2>&1 &\n"
        f"{shlex.join(engine)} &\ntrap 'kill %1 %2' TERM\nwait %2\nwait %2\n"
    )
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    with open(folder / "log", "wb") as log:
        # Mounts of its own too: they are gone with it.
        command = ["unshare", "--net", "--mount", "bash", "-c", script]
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PATH": path})

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()[-4000:]
        asked = subprocess.run(["docker", f"--host={address}", "version"], capture_output=True, check=False)
        return asked.returncode == 0

    try:
        wait_until(answers, "the second engine answers", 60)
        yield address
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)
