"""How a base image comes to be: from a registry's Debian, from Debian's packages, or from these in a container.

All three leave the same behind: Debian with its own Python in /usr/bin, pip and venv, the same labels and variables.
"""

import asyncio
import contextlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import wherry_service
from wherry_proto.messages import ImageStep
from wherry_service.errors import ServiceError, Unready
from wherry_service.images import host, render
from wherry_service.images.process import follow
from wherry_service.images.settings import ImageSettings

OnLog = Callable[[str], None]

BOOTSTRAP_ATTEMPTS = 5
# Seconds in which a registry has to say something of an image; what it then sends takes as long as it takes.
REGISTRY_WITHIN_S = 10.0
_TAIL_LINES = 20
_OF_ONE_PACKAGE = ("I: Retrieving", "I: Validating", "I: Unpacking", "I: Extracting", "I: Configuring")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# What letters beyond ASCII are, to shells and tools; the label tells bases that an earlier version made without it.
LOCALE = "C.UTF-8"
LOCALE_LABEL = "wherry.locale"
# Says which way it was made.
WAY_LABEL = "wherry.base"
WAYS = {
    "registry": "was made of a registry's Debian",
    "debootstrap": "was made of Debian's packages",
    "container": "was made of Debian's packages, in a container",
}
# Not every sh has pipefail: a tar that fails leaves a mark, and what was made of its part goes again.
# sh -c … MARK DOCKER TAG WAY COMMAND…
_IMPORT = (
    """
mark=$1 docker=$2 tag=$3 way=$4; shift 4
{ "$@" || touch "$mark"; } |
    "$docker" import --change "LABEL wherry.kind=base {label}={locale} {way}=$way" --change "ENV LANG={locale}" \\
        --change 'CMD ["python3"]' - "$tag" || exit 1
[ ! -e "$mark" ] || { "$docker" rmi "$tag" >/dev/null; echo "tar could not pack the base"; exit 1; }
""".replace("{label}", LOCALE_LABEL)
    .replace("{locale}", LOCALE)
    .replace("{way}", WAY_LABEL)
)

# Directories of this machine with its programs, which a container borrows.
_PROGRAMS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_HELPER = "wherry/host-programs"


class BaseError(ServiceError):
    """A base image could not be made."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A base image that is to be made."""

    # Of Debian.
    suite: str
    # Of Python, "3.11".
    version: str
    tag: str


class BaseWays:
    """The ways there are on this host, and which of them the settings allow."""

    def __init__(self, work_dir: Path, settings: ImageSettings) -> None:
        self._work_dir = work_dir
        self._settings = settings

    async def make(self, wanted: Wanted, cli: host.BuildCli, on_log: OnLog) -> None:
        """Make a base by the first way that works; raise `BaseError` or `Unready` that says of each why it did not."""
        debian = self._bootstrap if _may_bootstrap() else self._in_container
        ways = {"registry": [self._pull], "debootstrap": [debian]}.get(self._settings.base, [self._pull, debian])
        failed: list[str] = []
        for way in ways:
            try:
                return await way(wanted, cli, on_log)
            except (BaseError, Unready) as error:
                failed.append(str(error))
                if len(ways) == 1:
                    raise
                on_log(str(error).splitlines()[0])
        raise BaseError("\n".join([*failed, _ADVICE]))

    # From a registry

    async def _pull(self, wanted: Wanted, cli: host.BuildCli, on_log: OnLog) -> None:
        reference = self._settings.base_image.replace("{suite}", wanted.suite).replace("{version}", wanted.version)
        on_log(f"making the base image from {reference} of a registry, once (about half a minute)")
        if await follow([cli.docker, "image", "inspect", reference], lambda line: None):
            await _pulled(reference, cli)
        tail: list[str] = []
        async with self._scratch(wanted) as folder:
            context = folder / "context"
            context.mkdir()
            shutil.copyfile(recipe("packages.sh"), context / "packages.sh")
            lent = render.Lent(ca=host.ca_bundle() is not None, apt=bool(self._settings.apt_mirror))
            command = f"sh /tmp/wherry-packages.sh {wanted.version} && rm /tmp/wherry-packages.sh"
            step = render.Renderer(lent).run(ImageStep(kind="run_commands"), 0, command, "install Python")
            (context / "Dockerfile").write_text(
                f"FROM {reference}\nUSER 0:0\nCOPY packages.sh /tmp/wherry-packages.sh\n{step.text}\n"
                f'ENTRYPOINT []\nCMD ["python3"]\nWORKDIR /\nENV LANG={LOCALE}\n'
                f"LABEL wherry.kind=base {LOCALE_LABEL}={LOCALE} {WAY_LABEL}=registry\n"
            )
            arguments = [*host.proxy_arguments(), *self._secrets(lent, folder)]
            build = [*cli.build, "--progress=plain", f"--tag={wanted.tag}", *arguments, str(context)]
            code = await follow(build, keeping(tail), env={"DOCKER_BUILDKIT": "1"})
        if code:
            told = "\n".join(tail)
            raise BaseError(f"the base image from {reference} of a registry could not be made:\n{told}")

    def _secrets(self, lent: render.Lent, folder: Path) -> list[str]:
        found: list[str] = []
        if lent.ca:
            found.append(f"--secret=id={render.CA_SECRET},src={host.ca_bundle()}")
        if lent.apt:
            file = folder / "apt-mirror"
            file.write_text(self._settings.apt_mirror)
            found.append(f"--secret=id={render.APT_SECRET},src={file}")
        return found

    # From Debian's packages

    async def _bootstrap(self, wanted: Wanted, cli: host.BuildCli, on_log: OnLog) -> None:
        """Make it here, as root."""
        on_log(f"making the base image from Debian {wanted.suite} packages, once (about a minute)")
        tail: list[str] = []
        note = _phases(tail, on_log)
        async with self._scratch(wanted) as folder:
            root, packages = folder / "root", folder / "packages"
            packages.mkdir()
            command = [str(recipe("debian.sh")), wanted.suite, str(root), str(packages)]
            path = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
            # A hundred packages are fetched, and debootstrap gives up where a mirror lacks one for a moment.
            attempt = 1
            while code := await follow(command, note, env=path):
                if attempt == BOOTSTRAP_ATTEMPTS:
                    break
                attempt += 1
                on_log(f"debootstrap failed ({tail[-1] if tail else code}); trying again")
                tail.clear()
                await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)
            if code:
                told = "\n".join(tail)
                raise BaseError(f"the base image from Debian {wanted.suite} could not be made:\n{told}")
            on_log("importing it into the engine")
            if await import_root(root, cli.docker, wanted.tag, note):
                told = "\n".join(tail)
                raise BaseError(f"the base image from Debian {wanted.suite} could not be imported:\n{told}")

    async def _in_container(self, wanted: Wanted, cli: host.BuildCli, on_log: OnLog) -> None:
        """Make it in a container that has this machine's programs and nothing else: that needs no root."""
        on_log(f"making the base image from Debian {wanted.suite} packages in a container, once (a minute or two)")
        tail: list[str] = []
        note = _phases(tail, on_log)
        async with self._scratch(wanted) as folder:
            # Its own for each run, which removes it at its end.
            number = folder.name.rpartition("-")[2]
            tools, helper = await _tools(folder, on_log), f"{_HELPER}:{wanted.suite}-{number}"
            if await follow([cli.docker, "import", "-", helper], keeping(tail), stdin=_empty_root()):
                raise BaseError(f"the container that makes the base image has no image: {tail[-1] if tail else ''}")
            name = f"wherry-base-{wanted.suite}-{number}"
            texts = [recipe(file).read_text() for file in ("contained.sh", "debian.sh")]
            command = [
                cli.docker, "run", "--rm", "--pull=never", f"--name={name}", "--network=host",
                "--userns=host", "--user=0:0", "--security-opt=label=disable", "--log-driver=none",
                "--label=wherry.kind=base-maker",
                *_lent_programs(), *tools, helper, "/bin/sh", "-c", texts[0], "contained.sh",
                wanted.suite, texts[1], str(BOOTSTRAP_ATTEMPTS),
            ]  # fmt: skip
            try:
                code = await _import("container", str(folder / "failed"), cli.docker, wanted.tag, command, note)
            finally:
                # It is gone, unless this was broken off.
                await follow([cli.docker, "rm", "--force", name], lambda line: None)
                await follow([cli.docker, "rmi", helper], lambda line: None)
        if code:
            told = "\n".join(tail)
            raise BaseError(f"the base image from Debian {wanted.suite} could not be made in a container:\n{told}")

    @contextlib.asynccontextmanager
    async def _scratch(self, wanted: Wanted) -> AsyncIterator[Path]:
        self._work_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"base-{wanted.suite}-", dir=self._work_dir))
        try:
            yield folder
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


_ADVICE = (
    "The setting images.base chooses one way: registry (images.base_image says which image), or debootstrap "
    "(docs/images.md, How the base is made)"
)


async def _pulled(reference: str, cli: host.BuildCli) -> None:
    """Pull an image; raise `BaseError` where no registry answers within a moment, or it does not have it."""
    tail: list[str] = []
    try:
        async with asyncio.timeout(REGISTRY_WITHIN_S) as patience:

            def hear(line: str) -> None:
                keeping(tail)(line)
                if "Pulling from" in line:
                    patience.reschedule(None)

            code = await follow([cli.docker, "pull", reference], hear)
    except TimeoutError:
        raise BaseError(f"no registry said anything of {reference} within {REGISTRY_WITHIN_S:g} s") from None
    if code:
        raise BaseError(f"no registry gave {reference}: {tail[-1] if tail else 'docker gave no reason'}")


def _may_bootstrap() -> bool:
    """Whether debootstrap can be run here, without a container."""
    try:
        host.debootstrap()
    except Unready:
        return False
    return os.geteuid() == 0


async def _tools(folder: Path, on_log: OnLog) -> list[str]:
    """Return the arguments that lend a container debootstrap and Debian's keys, if this machine lacks them."""
    with contextlib.suppress(Unready):
        if host.debootstrap() and _KEYRING.exists():
            return []
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unready(
            f"debootstrap is not installed, which makes the base of Image.debian_slim(): install it. {_ADVICE}"
        )
    on_log("fetching debootstrap, which is not installed here")
    tail: list[str] = []
    if await follow(["/bin/sh", str(recipe("tools.sh")), str(folder)], keeping(tail)):
        told = "\n".join(tail)
        raise Unready(f"debootstrap is not installed here, and could not be fetched; install it:\n{told}")
    return [f"--volume={folder}/tools:/tools:ro"]


def _lent_programs() -> list[str]:
    """Return the arguments that lend a container this machine's programs and settings, which it can't change."""
    lent = ["usr", "etc", *(name for name in _PROGRAMS if _is_own_directory(Path("/", name)))]
    variables = [*host.proxies(), *(name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name))]
    bundle = host.ca_bundle()
    return [
        *(f"--volume=/{name}:/{name}:ro" for name in lent),
        *([f"--volume={bundle}:{bundle}:ro"] if bundle is not None and bundle.parts[1] not in lent else []),
        *(f"--env={name}" for name in variables),
        "--env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]


def _is_own_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _empty_root() -> bytes:
    """Return an image's files: directories to mount at, and this machine's links into /usr."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, mode in (("usr", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("work", 0o755), ("tools", 0o755)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name in _PROGRAMS:
            path = Path("/", name)
            if path.is_symlink():
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
                tar.addfile(entry)
    return file.getvalue()


async def import_root(root: Path, docker: str, tag: str, on_line: OnLog) -> int:
    """Make an image of a directory; return 0, or another number when it could not be made whole."""
    tar = ["tar", "-C", str(root), "--numeric-owner", "-c", "."]
    return await _import("debootstrap", f"{root}.failed", docker, tag, tar, on_line)


async def _import(way: str, mark: str, docker: str, tag: str, command: list[str], on_line: OnLog) -> int:
    return await follow(["/bin/sh", "-c", _IMPORT, "sh", mark, docker, tag, way, *command], on_line)


def _phases(tail: list[str], on_log: OnLog) -> OnLog:
    """Return what hears debootstrap: one line per package is too much to tell, one per phase is right."""
    keep = keeping(tail)

    def note(line: str) -> None:
        if line.startswith(_OF_ONE_PACKAGE):
            return
        keep(line)
        if line.startswith("I: "):
            on_log(line.removeprefix("I: "))

    return note


def keeping(tail: list[str]) -> OnLog:
    """Return what keeps the last lines that it hears."""

    def keep(line: str) -> None:
        tail.append(line)
        del tail[:-_TAIL_LINES]

    return keep


def recipe(name: str) -> Path:
    """Return where a script is that makes images; raise `Unready`."""
    package = Path(wherry_service.__file__).parent
    places = (package / "images" / "recipes" / name, package.parents[1] / "images" / "base" / name)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise Unready("this installation of Wherry lacks the recipe of its base image: install it again")
    return found
