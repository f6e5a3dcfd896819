"""The base of `Image.debian_slim()`: made once, by one of the ways in base_ways.py, then kept under a local tag."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from wherry_service.engines.engine import Engine
from wherry_service.errors import InvalidRequest
from wherry_service.images import host
from wherry_service.images.base_ways import LOCALE, LOCALE_LABEL, BaseError, BaseWays, OnLog, Wanted, keeping, recipe
from wherry_service.images.process import follow
from wherry_service.images.settings import ImageSettings

# Which Debian release has which Python; testing's moves on.
SUITES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "testing"}
DEFAULT_PYTHON = "3.11"

# A base that has no locale gets one: sh -c … DOCKER TAG LOCALE.
_COMPLETE = f"""
made=$("$1" create "$2" true) || exit 1
"$1" commit --change "ENV LANG=$3" --change "LABEL {LOCALE_LABEL}=$3" --change 'CMD ["python3"]' "$made" "$2"
code=$?
"$1" rm "$made" >/dev/null
exit $code
"""


class BaseImages:
    """Makes each base at most once, whoever asks at the same time."""

    def __init__(self, engine: Engine, work_dir: Path, settings: ImageSettings) -> None:
        self._engine = engine
        self._ways = BaseWays(work_dir, settings)
        self._work_dir = work_dir
        self._locks: dict[str, asyncio.Lock] = {}
        # Seen in this life: a look through the engine costs a build from the cache a fiftieth of its time.
        self._seen: set[str] = set()

    async def ensure(self, python_version: str, cli: host.BuildCli, on_log: OnLog) -> str:
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
        tag = tag_of(version)
        if tag in self._seen:
            return tag
        async with self._locks.setdefault(tag, asyncio.Lock()):
            labels = await self._engine.image_labels(tag)
            if labels is None:
                await self._ways.make(Wanted(suite, version, tag), cli, on_log)
            elif LOCALE_LABEL not in labels:
                # It works without, so what keeps it from being completed keeps no build from going on.
                tail: list[str] = []
                if await follow(["/bin/sh", "-c", _COMPLETE, "sh", cli.docker, tag, LOCALE], tail.append):
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
        base = await self.ensure(version, cli, on_log)
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
            shutil.copyfile(recipe("python.sh"), context / "python.sh")
            (context / "Dockerfile").write_text(
                f"FROM {base} AS made\n"
                "RUN apt-get -o Acquire::Check-Valid-Until=false update -qq "
                "&& apt-get install -y -qq --no-install-recommends patchelf binutils\n"
                "COPY python.sh /\nRUN sh /python.sh /opt/python\n"
                'FROM scratch\nCOPY --from=made /opt/python /opt/python\nLABEL wherry.kind="python"\n'
            )
            command = [*cli.build, "--progress=plain", f"--tag={tag}", *host.proxy_arguments(), str(context)]
            code = await follow(command, keeping(tail), env={"DOCKER_BUILDKIT": "1"})
        if code:
            raise BaseError(f"the Python of add_python could not be made from {base}:\n" + "\n".join(tail))


def tag_of(version: str) -> str:
    """Return the engine's tag of the base with a Python that Debian has."""
    return f"wherry/base:{SUITES[version]}"
