"""Images and servers that tests start on this machine: a private index, a private git repository, mirrors, a proxy."""

import base64
import datetime
import io
import ipaddress
import json
import shlex
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import wherry
from tests.acceptance.bare_run import printed_by
from tests.acceptance.elsewhere import elsewhere
from tests.acceptance.servers import closing_engine
from tests.acceptance.service import OwnService
from tests.engine_host import bridge_gateway
from wherry import Image
from wherry_service.images import host

USER, PASSWORD = "someone", "a-very-private-password"


@pytest.fixture(scope="session")
def own_address() -> str:
    """This machine's address as builds see it."""
    return bridge_gateway()


class Open(BaseHTTPRequestHandler):
    """Says nothing of what it is asked, and lets answers be kept."""

    def answer(self, status: int, body: bytes = b"", kind: str = "text/html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "max-age=3600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def pass_on(self, url: str) -> None:
        try:
            with urllib.request.urlopen(url) as found:
                self.answer(200, found.read(), kind="application/octet-stream")
        except urllib.error.HTTPError as error:
            self.answer(error.code)
            error.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Guarded(BaseHTTPRequestHandler):
    """Serves what `answer` returns to those who know the password."""

    answer: Callable[["Guarded"], tuple[str, bytes]]
    refused: int = 0

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="private"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        kind, body = type(self).answer(self)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(
    answer: Callable[[Guarded], tuple[str, bytes]], address: str, certificate: Path | None = None
) -> Iterator[int]:
    handler = type("Handler", (Guarded,), {"answer": staticmethod(answer)})
    with serving_with(handler, address, certificate) as port:
        yield port


@contextmanager
def serving_with(handler: type[BaseHTTPRequestHandler], address: str, certificate: Path | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer((address, 0), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wheel(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{name}.py", "PRIVATE = True\n")
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return buffer.getvalue()


@pytest.fixture
def contents(service: OwnService) -> Iterator[Callable[[Image], bytes]]:
    """Build an image and return everything that it consists of."""
    with ExitStack() as stack:
        engine = stack.enter_context(closing_engine())

        def save(image: Image) -> bytes:
            tag = f"wherry/image:{image.build().object_id.removeprefix('im-')}"
            return b"".join(engine.images.get(tag).save())

        yield save


def imported(image: Image, module: str) -> bool:
    app = wherry.App("servers")

    def look(name: str) -> bool:
        import importlib

        return bool(importlib.import_module(name).PRIVATE)

    handle = app.function(serialized=True, image=image)(look)
    with app.run():
        return bool(handle.remote(module))


def test_packages_come_from_a_private_index(own_address: str, contents: Callable[[Image], bytes]) -> None:
    def answer(request: Guarded) -> tuple[str, bytes]:
        if request.path.endswith(".whl"):
            return "application/octet-stream", wheel("wherry_private_thing")
        link = "wherry_private_thing-1.0-py3-none-any.whl"
        return "text/html", f'<a href="/files/{link}">{link}</a>'.encode()

    with serving(answer, own_address) as port:
        url = f"http://{USER}:{PASSWORD}@{own_address}:{port}/simple/"
        secret = wherry.Secret.from_dict({"PIP_EXTRA_INDEX_URL": url, "PIP_TRUSTED_HOST": own_address})
        image = Image.debian_slim().pip_install("wherry_private_thing", secrets=[secret], force_build=True)
        assert PASSWORD.encode() not in contents(image)
        assert imported(image, "wherry_private_thing")


def certificate(folder: Path, address: str) -> tuple[Path, Path]:
    """Make a certificate for an address; return its file and a bundle in which it is trusted besides the others."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wherry test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file, bundle = folder / "server.pem", folder / "bundle.pem"
    file.write_bytes(text + private)
    trusted = host.ca_bundle()
    bundle.write_bytes(text + (trusted.read_bytes() if trusted is not None else b""))
    return file, bundle


def test_a_private_git_repository_behind_a_private_ca(own_address: str, tmp_path: Path) -> None:
    repository = tmp_path / "owner" / "repo.git"
    work = tmp_path / "work"
    work.mkdir()
    (work / "wherry_private_repo.py").write_text("PRIVATE = True\n")
    (work / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "wherry_private_repo"\nversion = "1"\n'
        '[tool.setuptools]\npy-modules = ["wherry_private_repo"]\n'
    )
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(work)]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "first"], ["tag", "v1"]):
        subprocess.run([*git, *command], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(repository)], check=True)
    subprocess.run(["git", "-C", str(repository), "update-server-info"], check=True)

    def answer(request: Guarded) -> tuple[str, bytes]:
        # The plain form of git's protocol: files.
        path = tmp_path / request.path.partition("?")[0].lstrip("/")
        return "application/octet-stream", path.read_bytes() if path.is_file() else b""

    file, bundle = certificate(tmp_path, own_address)
    with serving(answer, own_address, file) as port, elsewhere(SSL_CERT_FILE=str(bundle)) as other:
        program = tmp_path / "program.py"
        program.write_text(
            "import wherry\n"
            f'secret = wherry.Secret.from_dict({{"GIT_TOKEN": {PASSWORD!r}}})\n'
            "image = wherry.Image.debian_slim().pip_install_private_repos(\n"
            f'    "{own_address}:{port}/owner/repo@v1", git_user={USER!r}, secrets=[secret], force_build=True)\n'
            'app = wherry.App("private", image=image)\n'
            "@app.function()\ndef look():\n    import wherry_private_repo\n    print(wherry_private_repo.PRIVATE)\n"
        )
        ran = other.wherry("run", "-v", str(program))
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout == "True\n"
        assert PASSWORD not in ran.stderr
        (shown,) = json.loads(other.wherry("image", "list", "--json").stdout)
        with closing_engine() as engine:
            tag = f"wherry/image:{shown['image_id'].removeprefix('im-')}"
            assert PASSWORD.encode() not in b"".join(engine.images.get(tag).save())
        # The host's trust is lent while the image is built, and is no part of it.
        wrong = program.with_name("wrong.py")
        wrong.write_text(program.read_text().replace(PASSWORD, "another"))
        failed = other.wherry("run", str(wrong))
        assert failed.returncode == 5
        assert "pip install" in failed.stderr
        assert "Traceback" not in failed.stderr


def test_what_the_host_is_set_to_reaches_builds_and_is_in_no_image(own_address: str, base: str, tmp_path: Path) -> None:
    asked: list[str] = []
    with closing_engine() as engine:
        sources = printed_by(engine, base, ["cat", "/etc/apt/sources.list"])
    # The mirror that the base was made from; ours passes on what it has.
    mirror = next(line for line in sources.splitlines() if line.startswith("deb ")).split()[1].rstrip("/")

    class Anything(Open):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path.startswith("/debian/"):
                self.pass_on(mirror + self.path.removeprefix("/debian"))
            elif self.path.endswith(".whl"):
                self.answer(200, wheel("wherry_mirrored_thing"), kind="application/octet-stream")
            elif self.path.startswith("/simple/"):
                link = "wherry_mirrored_thing-1.0-py3-none-any.whl"
                self.answer(200, f'<a href="/files/{link}">{link}</a>'.encode())
            else:
                self.answer(200, b"proxied")

    with serving_with(Anything, own_address) as port:
        here = f"{own_address}:{port}"
        program = tmp_path / "program.py"
        fetch = "import urllib.request as u; print(u.urlopen('http://nowhere.invalid/').read().decode())"
        program.write_text(
            "import wherry\n"
            "def image(own):\n"
            f"    return (wherry.Image.debian_slim().run_commands('echo {uuid.uuid4().hex}' + own)\n"
            "        .apt_install('jq').pip_install('wherry_mirrored_thing')\n"
            f"        .run_commands({'python3 -c ' + shlex.quote(fetch) + ' >/proxied'!r}))\n"
            "one, two = image('1'), image('2')\n"
        )
        settings = {
            "HTTP_PROXY": f"http://{here}", "NO_PROXY": own_address, "PIP_INDEX_URL": f"http://{here}/simple/",
            "PIP_TRUSTED_HOST": own_address, "WHERRY_IMAGES_APT_MIRROR": f"http://{here}/debian",
        }  # fmt: skip
        with elsewhere(**settings) as other:
            ids = []
            for name in ("one", "two"):
                built = other.wherry("image", "build", f"{program}::{name}")
                assert built.returncode == 0, built.stderr
                ids.append(built.stdout.strip().removeprefix("im-"))
    assert any(path.startswith("/debian/dists/bookworm/") for path in asked)
    assert "http://nowhere.invalid/" in asked
    # The second image found it in the cache that images share.
    assert len([path for path in asked if path.endswith(".whl")]) == 1
    with closing_engine() as engine:
        tag = f"wherry/image:{ids[1]}"
        seen = printed_by(engine, tag, ["sh", "-c", "cat /proxied; env; cat /etc/apt/sources.list; jq --version"])
        assert seen.startswith("proxied\n")
        assert here not in seen
        assert here not in json.dumps(engine.api.history(tag))
        assert here.encode() not in b"".join(engine.images.get(tag).save())
