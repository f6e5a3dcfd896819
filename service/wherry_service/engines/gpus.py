"""The GPUs of this host, and the ledger of who has which: two containers share one only where the settings say so."""

import asyncio
import contextlib
import logging
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from wherry_service.engines.engine import Gpu
from wherry_service.errors import Unready

log = logging.getLogger(__name__)

DEVICES = "WHERRY_GPUS_DEVICES"
PER_GPU = "WHERRY_GPUS_CONTAINERS_PER_GPU"
# Of a container: the ids of its GPUs, with commas between. The ledger of the service's next life is made of these.
LABEL = "wherry.gpus"
# Seconds that `nvidia-smi` gets, which may wake GPUs that are asleep.
SMI_WITHIN_S = 30.0
MOST_PER_GPU = 64
_COMMAND = ("nvidia-smi", "--query-gpu=uuid,memory.total,name", "--format=csv,noheader,nounits")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,127}\Z")
# Of the memory that a type's name says, so much may be missing: "T4" of 16 GB shows 15.
_MEMORY_SLACK = 0.1


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU of this host, by the number or UUID that the engine knows it by."""

    device_id: str
    # As `nvidia-smi` has it: "NVIDIA A100-SXM4-80GB".
    name: str
    # 0: not known.
    memory_mib: int = 0

    def is_a(self, kind: str) -> bool:
        """Whether it is of a type such as "A100" or "A100-80GB"; every GPU is "any"."""
        wanted = _words(kind)
        if wanted == ["any"]:
            return True
        known = _words(self.name)
        return all(word in known or self._has_memory(word) for word in wanted)

    def _has_memory(self, word: str) -> bool:
        found = re.fullmatch(r"(\d+)gb", word)
        gib = self.memory_mib / 1024
        return found is not None and gib > 0 and abs(gib - int(found[1])) <= _MEMORY_SLACK * int(found[1])


def _words(kind: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", kind.lower())


@dataclass(frozen=True, slots=True)
class GpuSettings:
    """What the settings say of GPUs."""

    # None: those that `nvidia-smi` lists.
    devices: tuple[Device, ...] | None = None
    containers_per_gpu: int = 1

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "GpuSettings":
        """Read the WHERRY_GPUS_ variables; raise `Unready` naming one that makes no sense."""
        given, per_gpu = environ.get(DEVICES, ""), environ.get(PER_GPU, "") or "1"
        if not per_gpu.isascii() or not per_gpu.isdigit() or not 1 <= int(per_gpu) <= MOST_PER_GPU:
            raise Unready(f"{PER_GPU} is {per_gpu!r}: it must be a whole number from 1 to {MOST_PER_GPU}")
        devices = [_device(part.strip()) for part in given.split(",") if part.strip()]
        if len({device.device_id for device in devices}) < len(devices):
            raise Unready(f"{DEVICES} is {given!r}: it names a GPU twice")
        return cls(tuple(devices) or None, int(per_gpu))


def _device(part: str) -> Device:
    device_id, equals, kind = (word.strip() for word in part.partition("="))
    if not _ID.match(device_id) or not equals or not _words(kind) or len(kind) > 64:
        raise Unready(
            f"{DEVICES} has {part[:80]!r}: write ID=TYPE, the id being a number or UUID as `nvidia-smi -L` shows it, "
            "such as 0=A100-80GB"
        )
    return Device(device_id, kind)


def look_for(settings: GpuSettings) -> list[Device]:
    """Return the GPUs of this host; takes seconds where there are some."""
    if settings.devices is not None:
        return list(settings.devices)
    if shutil.which(_COMMAND[0]) is None:
        return []
    try:
        done = subprocess.run(_COMMAND, capture_output=True, text=True, check=True, timeout=SMI_WITHIN_S)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("nvidia-smi does not list the GPUs of this host: %s", error)
        return []
    return listed(done.stdout)


def listed(text: str) -> list[Device]:
    """Return the GPUs of `nvidia-smi`'s list: a line each with UUID, MiB and name."""
    found: list[Device] = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",", 2)]
        if len(parts) == 3 and _ID.match(parts[0]):
            found.append(Device(parts[0], parts[2], int(parts[1]) if parts[1].isdigit() else 0))
    return found


def gpu_label(device_ids: Sequence[str]) -> dict[str, str]:
    """Return the label of a container that has these."""
    return {LABEL: ",".join(device_ids)} if device_ids else {}


def gpu_ids_of(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return what a container with these labels has."""
    return tuple(filter(None, labels.get(LABEL, "").split(",")))


class Gpus:
    """Who has which GPU. It gives out none until it knows which there are and what an earlier life has given out."""

    def __init__(self, settings: GpuSettings) -> None:
        self._settings = settings
        self._devices: list[Device] | None = None
        # What must be looked at before any is given out.
        self._unseen: set[str] = set()
        self._held: dict[str, tuple[str, ...]] = {}
        # Called when one may be free that was not.
        self.on_free: list[Callable[[], None]] = []

    async def look(self) -> None:
        """Find out which there are."""
        self.know(await asyncio.to_thread(look_for, self._settings))

    def know(self, devices: Sequence[Device]) -> None:
        """Hear which there are."""
        self._devices = list(devices)
        if devices:
            log.info("GPUs of this host: %s", ", ".join(f"{one.device_id} ({one.name})" for one in devices))
        self._tell()

    def await_sight(self, what: str) -> None:
        """Give out none until `seen` is called with the same word."""
        self._unseen.add(what)

    def seen(self, what: str) -> None:
        """Hear that all is claimed which containers of that kind, of an earlier life, have."""
        self._unseen.discard(what)
        self._tell()

    @property
    def is_settled(self) -> bool:
        """Whether it is known which there are and which are taken."""
        return self._devices is not None and not self._unseen

    def take(self, holder: str, wanted: Sequence[Gpu]) -> bool:
        """Give `holder` the first of these that can be had; False where none can now. Nothing wanted is always had."""
        if not wanted:
            return True
        if not self.is_settled:
            return False
        for gpu in wanted:
            free = [one for one in self._of(gpu) if self._users(one) < self._settings.containers_per_gpu]
            if len(free) >= gpu.count:
                # Where they may be shared, those first that fewest have.
                chosen = sorted(free, key=self._users)[: gpu.count]
                self._held[holder] = tuple(one.device_id for one in chosen)
                return True
        return False

    def claim(self, holder: str, device_ids: Sequence[str]) -> None:
        """Note what a container of an earlier life has, whatever there is."""
        if device_ids:
            self._held[holder] = tuple(device_ids)

    def ids_of(self, holder: str) -> tuple[str, ...]:
        """Return what `holder` has."""
        return self._held.get(holder, ())

    def give_back(self, holder: str) -> None:
        """Take back what `holder` has, if anything."""
        if self._held.pop(holder, None) is not None:
            self._tell()

    def could_ever_fit(self, wanted: Sequence[Gpu]) -> bool:
        """Whether there are such, as far as is known."""
        return not wanted or self._devices is None or any(len(self._of(gpu)) >= gpu.count for gpu in wanted)

    def suits(self, wanted: Sequence[Gpu], holder: str) -> bool:
        """Whether who wants these were helped if `holder` gave back what it has."""
        return any(one.device_id in self.ids_of(holder) for gpu in wanted for one in self._of(gpu))

    def refusal(self, wanted: Sequence[Gpu]) -> str:
        """Return, as the end of "it …", that this host can never give these."""
        if self._devices:
            return f"asks for a GPU ({in_words(wanted)}), and this host has {self._all()}: ask for what there is"
        return (
            f"asks for a GPU ({in_words(wanted)}), and the service sees none on this host: `nvidia-smi` must list "
            "them where the service runs, or gpus.devices must name them; then restart the service"
        )

    def waits_for(self, wanted: Sequence[Gpu]) -> str:
        """Return what who wants these waits for, as people say it; "" if nothing holds it back."""
        lack = self.lack(wanted)
        return (
            f"GPUs ({in_words(wanted)}): {lack.partition(': ')[2] or 'it is found out which are free'}" if lack else ""
        )

    def lack(self, wanted: Sequence[Gpu]) -> str:
        """Return what holds back who wants these, with the figures; "" if nothing does."""
        if not wanted:
            return ""
        if not self.is_settled:
            return f"GPUs are wanted ({in_words(wanted)}), and the service is still finding out which are free"
        parts: list[str] = []
        for gpu in wanted:
            found = self._of(gpu)
            free = sum(1 for one in found if self._users(one) < self._settings.containers_per_gpu)
            if free >= gpu.count:
                return ""
            parts.append(f"{free} of {len(found)} {_kind(gpu)} free")
        return f"GPUs are wanted ({in_words(wanted)}): {', '.join(parts)}"

    @contextlib.asynccontextmanager
    async def lent(
        self, holder: str, wanted: Sequence[Gpu], tell: Callable[[str], None]
    ) -> AsyncIterator[Sequence[str]]:
        """Give these, as soon as they can be had, until it is left; `tell` hears what is waited for.

        Raises `Unready` where the host has no such GPUs.
        """
        free = asyncio.Event()
        self.on_free.append(free.set)
        told = ""
        try:
            while not self.take(holder, wanted):
                if not self.could_ever_fit(wanted):
                    raise Unready(self.refusal(wanted))
                if (lack := self.lack(wanted)) != told:
                    told = lack
                    tell(f"waits: {lack}")
                free.clear()
                await free.wait()
            yield self.ids_of(holder)
        finally:
            self.on_free.remove(free.set)
            self.give_back(holder)

    def _of(self, gpu: Gpu) -> list[Device]:
        return [one for one in self._devices or () if one.is_a(gpu.type)]

    def _users(self, device: Device) -> int:
        return sum(device.device_id in ids for ids in self._held.values())

    def _all(self) -> str:
        return ", ".join(f"{one.device_id} ({one.name})" for one in self._devices or ())

    def _tell(self) -> None:
        for tell in list(self.on_free):
            tell()


def in_words(wanted: Sequence[Gpu]) -> str:
    """Return what is wanted, such as "2 A100 or 1 of any kind"."""
    return " or ".join(f"{gpu.count} {_kind(gpu)}" for gpu in wanted)


def _kind(gpu: Gpu) -> str:
    return "of any kind" if gpu.type.lower() == "any" else gpu.type
