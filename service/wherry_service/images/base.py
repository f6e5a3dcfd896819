"""The base of `Image.debian_slim()`: bootstrapped from Debian packages once, then kept under a local tag."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import wherry_service
from wherry_service.engines.engine import Engine
from wherry_service.errors import InvalidRequest, ServiceError, Unready
from wherry_service.images import host
from wherry_service.images.process import follow

# Which Debian release has which Python; testing's moves on.
SUITES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "testing"}
DEFAULT_PYTHON = "3.11"
BOOTSTRAP_ATTEMPTS = 5
_OF_ONE_PACKAGE = ("I: Retrieving", "I: Validating", "I: Unpacking", "I: Extracting", "I: Configuring")

# What letters beyond ASCII are, to shells and tools; the label tells bases that an earlier version made without it.
LOCALE = "C.UTF-8"
LOCALE_LABEL = "wherry.locale"
# A base that has no locale gets one: sh -c … DOCKER TAG LOCALE.
_COMPLETE = f"""
made=$("$1" create "$2" true) || exit 1
"$1" commit --change "ENV LANG=$3" --change "LABEL {LOCALE_LABEL}=$3" --change 'CMD ["python3"]' "$made" "$2"
code=$?
"$1" rm "$made" >/dev/null
exit $code
"""
# Not every sh has pipefail: a tar that fails leaves a mark, and what was made of its part goes again.
_IMPORT = """
{ tar -C "$1" --numeric-owner -c . || touch "$1.failed"; } |
    "$2" import --change "LABEL wherry.kind=base {label}={locale}" --change "ENV LANG={locale}" \\
        --change 'CMD ["python3"]' - "$3" || exit 1
[ ! -e "$1.failed" ] || { "$2" rmi "$3"; echo "tar could not pack the base"; exit 1; }
""".replace("{label}", LOCALE_LABEL).replace("{locale}", LOCALE)

OnLog = Callable[[str], None]


class BaseError(ServiceError):
    """A base image could not be bootstrapped."""


class BaseImages:
    """Makes each base at most once, whoever asks at the same time."""

    def __init__(self, engine: Engine, work_dir: Path) -> None:
        self._engine = engine
        self._work_dir = work_dir
        self._locks: dict[str, asyncio.Lock] = {}
        # Seen in this life: a look through the engine costs a build from the cache a fiftieth of its time.
        self._seen: set[str] = set()

    async def ensure(self, python_version: str, docker: str, on_log: OnLog) -> str:
        """Return the tag of the base with that Python, making it first if need be.

        Raises `InvalidRequest` for a version that no release has, `Unready` or `BaseError` when it can't be made.
        """
        version = ".".join((python_version or DEFAULT_PYTHON).split(".")[:2])
        suite = SUITES.get(version)
        if suite is None:
            raise InvalidRequest(
                f"Python {version[:20]} can't be had for debian_slim here: from Debian's packages there are "
                f"{', '.join(SUITES)}; for others use Image.from_registry() with an image that has it, or set "
                'images.python, such as "python:{version}-slim", where a registry can be reached'
            )
        tag = f"wherry/base:{suite}"
        if tag in self._seen:
            return tag
        async with self._locks.setdefault(tag, asyncio.Lock()):
            labels = await self._engine.image_labels(tag)
            if labels is None:
                await self._bootstrap(suite, tag, docker, on_log)
            elif LOCALE_LABEL not in labels:
                # It works without, so what keeps it from being completed keeps no build from going on.
                tail: list[str] = []
                if await follow(["/bin/sh", "-c", _COMPLETE, "sh", docker, tag, LOCALE], tail.append):
                    on_log(f"{tag} stays without LANG={LOCALE}: {' '.join(tail)[-200:]}")
            self._seen.add(tag)
        return tag

    async def is_lost(self, tag: str) -> bool:
        """Say whether a base that was there is no more; `ensure` then makes it again."""
        if tag not in self._seen or await self._engine.image_labels(tag) is not None:
            return False
        self._seen.discard(tag)
        return True

    async def ensure_python(self, version: str, cli: host.BuildCli, on_log: OnLog) -> str:
        """Return the tag of an image that holds that Python alone, in /opt/python, to be copied beside anything.

        Raises as `ensure`.
        """
        base = await self.ensure(version, cli.docker, on_log)
        tag = f"wherry/python:{version}"
        async with self._locks.setdefault(tag, asyncio.Lock()):
            if await self._engine.image_labels(tag) is None:
                await self._relocate(base, tag, cli, on_log)
        return tag

    async def _relocate(self, base: str, tag: str, cli: host.BuildCli, on_log: OnLog) -> None:
        on_log(f"making a Python that runs beside other images' files, once ({tag})")
        self._work_dir.mkdir(parents=True, exist_ok=True)
        tail: list[str] = []
        with tempfile.TemporaryDirectory(prefix="python-", dir=self._work_dir) as scratch:
            context = Path(scratch)
            shutil.copyfile(_recipe("python.sh"), context / "python.sh")
            (context / "Dockerfile").write_text(
                f"FROM {base} AS made\n"
                "RUN apt-get -o Acquire::Check-Valid-Until=false update -qq "
                "&& apt-get install -y -qq --no-install-recommends patchelf binutils\n"
                "COPY python.sh /\nRUN sh /python.sh /opt/python\n"
                'FROM scratch\nCOPY --from=made /opt/python /opt/python\nLABEL wherry.kind="python"\n'
            )
            command = [*cli.build, "--progress=plain", f"--tag={tag}", *host.proxy_arguments(), str(context)]
            code = await follow(command, _keeping(tail), env={"DOCKER_BUILDKIT": "1"})
        if code:
            raise BaseError(f"the Python of add_python could not be made from {base}:\n" + "\n".join(tail))

    async def _bootstrap(self, suite: str, tag: str, docker: str, on_log: OnLog) -> None:
        host.debootstrap()
        if os.geteuid() != 0:
            raise Unready(
                "the base of Image.debian_slim() is made by debootstrap, which needs root: run ./dev setup as root once"
            )
        on_log(f"making the base image from Debian {suite} packages, once (about a minute)")
        self._work_dir.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"base-{suite}-", dir=self._work_dir))
        tail: list[str] = []

        def note(line: str) -> None:
            # debootstrap's own progress: one line per package is too much, one per phase is right.
            if line.startswith(_OF_ONE_PACKAGE):
                return
            tail.append(line)
            del tail[:-20]
            if line.startswith("I: "):
                on_log(line.removeprefix("I: "))

        try:
            root, packages = scratch / "root", scratch / "packages"
            packages.mkdir()
            command = [str(_recipe("debian.sh")), suite, str(root), str(packages)]
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
                raise BaseError(f"the base image from Debian {suite} could not be made:\n{told}")
            on_log("importing it into the engine")
            if await import_root(root, docker, tag, note):
                told = "\n".join(tail)
                raise BaseError(f"the base image from Debian {suite} could not be imported:\n{told}")
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


async def import_root(root: Path, docker: str, tag: str, on_line: OnLog) -> int:
    """Make an image of a directory; return 0, or another number when it could not be made whole."""
    return await follow(["/bin/sh", "-c", _IMPORT, "sh", str(root), docker, tag], on_line)


def _keeping(tail: list[str]) -> OnLog:
    def keep(line: str) -> None:
        tail.append(line)
        del tail[:-20]

    return keep


def _recipe(name: str) -> Path:
    package = Path(wherry_service.__file__).parent
    places = (package / "images" / "recipes" / name, package.parents[1] / "images" / "base" / name)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise Unready("this installation of Wherry lacks the recipe of its base image: install it again")
    return found
