"""The container that mounts one bucket on this host, for the containers which have it."""

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wherry_service.engines.engine import ContainerSpec, DeviceMissing, Engine, Mount
from wherry_service.errors import ServiceError, Unready
from wherry_service.node.node import BucketOrder

COMMAND = ("python3", "/wherry/runner/wherry_runner/bucket.py")
KIND = "bucket"
# Seconds until its program answers, and until the store has.
ANSWERS_WITHIN_S = 30.0
MOUNTS_WITHIN_S = 60.0
# Seconds that an answer may take beyond what the request gives it.
SPARE_S = 15.0
POLL_S = 0.02
_MOST_CHARS = 1 << 16


class BucketError(ServiceError):
    """A bucket can't be mounted; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What helpers need of their host. `image` builds their image where it is not there, and may raise."""

    engine: Engine
    instance: str
    directory: Path
    image: Callable[[], Awaitable[str]]
    # What a program of this host needs to reach others: names of proxies; certificates that it trusts, or "".
    proxies: Mapping[str, str]
    authorities: Callable[[], str]


class BucketHelper:
    """One bucket's container. What it mounts lies in a volume: the engine keeps those on a mount that is shared."""

    def __init__(self, host: Surroundings, mount_id: str) -> None:
        self.mount_id = mount_id
        # Where the bucket's files are, as the engine's host calls it.
        self.source = ""
        self._host = host
        self.engine_id = ""
        self._name = f"wherry-bucket-{host.instance}-{mount_id}"
        self._folder = host.directory / mount_id

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its container and its volume."""
        return {"wherry.instance": self._host.instance, "wherry.kind": KIND, "wherry.bucket": self.mount_id}

    async def mount(self, order: BucketOrder) -> None:
        """Mount the bucket; raise `BucketError`, or what the engine and the image's build raise."""
        await self._start()
        try:
            await self.ensure(order)
        except BaseException:
            await asyncio.shield(self._give_up())
            raise

    async def ensure(self, order: BucketOrder) -> None:
        """Have the container that runs mount the bucket, unless it has; raise `BucketError`."""
        request = {
            "do": "mount",
            "remote": f":s3:{order.bucket}/{order.key_prefix}".rstrip("/"),
            "read_only": order.read_only,
            "env": {**self._host.proxies, **_variables(order)},
            "ca": await asyncio.to_thread(self._host.authorities),
        }
        answer = await self._ask(request, MOUNTS_WITHIN_S)
        if error := answer.get("error"):
            raise BucketError(f"can't mount {order}: {error}; {_advice(order)}")

    async def adopt(self, engine_id: str) -> None:
        """Know a container that an earlier life of the service has started."""
        self.engine_id = engine_id
        self.source = _files(await self._host.engine.create_volume(self._name, self.labels))

    async def flush(self, within_s: float) -> str:
        """Wait until what was written and closed is in the bucket; return what is not, as a sentence, or ""."""
        return _told(await self._ask({"do": "flush", "within_s": within_s}, within_s + SPARE_S))

    async def end(self, within_s: float) -> str:
        """Unmount and remove it once everything is in the bucket; else return what is not, as a sentence."""
        told = _told(await self._ask({"do": "end", "within_s": within_s}, within_s + SPARE_S))
        if not told:
            await self._remove()
        return told

    async def discard(self) -> str:
        """Take away what is left of one that ended by itself, unless files in it are not in the bucket; name those."""
        await self._start()
        told = await self._give_up()
        return f"{told}; what is left of it is in the volume {self._name}, below cache/vfs" if told else ""

    async def runs(self) -> bool:
        """Whether the engine has its container running."""
        status = await self._host.engine.inspect(self.engine_id)
        return status is not None and status.running

    # Its container

    async def _start(self) -> None:
        engine = self._host.engine
        image = await self._host.image()
        self._make_folder()
        for left in await engine.list(self.labels):
            await engine.remove(left.engine_id)
        # One that is there may hold what a helper that was killed could not write: it is not ours to remove.
        was_there = self._name in await engine.volumes(self.labels)
        volume = await engine.create_volume(self._name, self.labels)
        self.source = _files(volume)
        spec = ContainerSpec(
            name=self._name,
            image=image,
            command=COMMAND,
            mounts=(
                Mount(str(self._folder), "/run/wherry"),
                Mount(volume, "/bucket", shared=True),
                # By its name as well: nobody removes a volume that a container has.
                Mount(self._name, "/volume", read_only=True),
            ),
            labels=self.labels,
            # The stores that this host reaches, also on its loopback; and containers without a network have buckets.
            network="host",
            devices=("/dev/fuse",),
            added_capabilities=("SYS_ADMIN",),
            unconfined=True,
        )
        try:
            self.engine_id = await engine.create(spec)
            await engine.start(self.engine_id)
            await self._answers()
        except DeviceMissing as error:
            await self._remove(keeps_volume=was_there)
            raise BucketError(
                f"can't mount a bucket on this host, which lacks FUSE: load it (`modprobe fuse`) ({error})"
            ) from error
        except BaseException:
            await asyncio.shield(self._remove(keeps_volume=was_there))
            raise

    async def _give_up(self) -> str:
        """Remove it as it is; return what is not in the bucket, which then stays in the volume."""
        try:
            told = _told(await self._ask({"do": "discard"}, SPARE_S))
        except BucketError as error:
            told = str(error)
        await self._remove(keeps_volume=bool(told))
        return told

    def _make_folder(self) -> None:
        self._host.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.mkdir(exist_ok=True)
        # Where the engine's root is another user, that user makes the socket; the folder above keeps others out.
        self._folder.chmod(0o1777)
        (self._folder / "bucket.sock").unlink(missing_ok=True)

    async def _answers(self) -> None:
        began = time.monotonic()
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(str(self._folder / "bucket.sock"))
            except OSError:
                pass
            else:
                writer.close()
                return
            status = await self._host.engine.inspect(self.engine_id)
            late = time.monotonic() - began > ANSWERS_WITHIN_S
            if late or status is None or not status.running:
                said = await self._host.engine.log_tail(self.engine_id, 5)
                how = f"does not answer within {ANSWERS_WITHIN_S:.0f} s" if late else "ended"
                raise BucketError(f"can't mount a bucket: the container {self._name} {how}: {said or 'silently'}")
            await asyncio.sleep(POLL_S)

    async def _ask(self, request: Mapping[str, Any], within_s: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(within_s):
                path = str(self._folder / "bucket.sock")
                reader, writer = await asyncio.open_unix_connection(path, limit=_MOST_CHARS)
                with contextlib.closing(writer):
                    writer.write(json.dumps(request).encode() + b"\n")
                    line = await reader.readline()
            answer: dict[str, Any] = json.loads(line)
        except TimeoutError:
            raise BucketError(f"can't reach a bucket: {self._name} does not answer within {within_s:.0f} s") from None
        except (OSError, ValueError) as error:
            raise BucketError(f"can't reach a bucket: the container {self._name} has ended ({error})") from None
        return answer

    async def _remove(self, keeps_volume: bool = False) -> None:
        engine = self._host.engine
        await engine.remove(self.engine_id or self._name)
        self.engine_id = ""
        if not keeps_volume:
            await engine.remove_volume(self._name)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


def _files(volume: str) -> str:
    return f"{volume}/files"


def _variables(order: BucketOrder) -> dict[str, str]:
    """Return what rclone is told; empty values are what it would take from elsewhere."""
    own = order.credentials
    found = {
        "RCLONE_S3_PROVIDER": "Other" if order.endpoint_url else "AWS",
        "RCLONE_S3_ENDPOINT": order.endpoint_url,
        "RCLONE_S3_ACCESS_KEY_ID": own.get("AWS_ACCESS_KEY_ID", ""),
        "RCLONE_S3_SECRET_ACCESS_KEY": own.get("AWS_SECRET_ACCESS_KEY", ""),
        "RCLONE_S3_SESSION_TOKEN": own.get("AWS_SESSION_TOKEN", ""),
        "RCLONE_S3_REGION": own.get("AWS_REGION", "") or own.get("AWS_DEFAULT_REGION", ""),
        # A bucket that is missing is to be told, never made.
        "RCLONE_S3_NO_CHECK_BUCKET": "true",
        "RCLONE_S3_REQUESTER_PAYS": "true" if order.requester_pays else "",
    }
    return {name: value for name, value in found.items() if value}


def _advice(order: BucketOrder) -> str:
    if order.credentials:
        return "compare its name, its endpoint and the values of its secret with those of the store"
    return "compare its name and endpoint with those of the store, and give secret= if not everyone may read it"


def _told(answer: Mapping[str, Any]) -> str:
    if error := answer.get("error"):
        return str(error)
    names = [str(name) for name in answer.get("unwritten") or ()]
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} could not be written into the bucket yet: {answer.get('reason') or 'unknown'}"


async def nowhere() -> str:
    """Refuse, as a node does that was not given an image for helpers."""
    raise Unready("this service mounts no buckets")
