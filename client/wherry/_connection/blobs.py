"""Payloads too large for a message."""

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar, cast

from wherry._base.ids import new_id
from wherry._connection import pickling
from wherry._connection.transport.transport import Transport
from wherry._screen.output import NoProgress, Transfer
from wherry.exception import DeserializationError, NotFoundError, RemoteError, ResourceExhaustedError
from wherry_proto.messages import (
    BlobAdoptRequest,
    BlobChunk,
    BlobGetRequest,
    BlobInfo,
    BlobLocation,
    Format,
    Payload,
)

T = TypeVar("T")

CHUNK = 1 << 20
# Transfers of so many bytes are shown.
SHOWN_FROM = 8 << 20


class Persist(Protocol):
    """Does something that needs the service (`Client.persist`)."""

    def __call__(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; if the service ends and comes back, it is called again."""


class Blobs:
    """Puts and gets blobs: as files handed over where the service is on this machine, in chunks elsewhere."""

    def __init__(
        self,
        transport: Transport,
        handover_dir: Path | None,
        transfer: Callable[[str, int], Transfer] = lambda what, size: NoProgress(),
        persist: "Persist" = lambda work: work(),
    ) -> None:
        self._transport = transport
        # Does what it is given from the beginning again where the service goes in the middle, and comes back.
        self._persist = persist
        # What shows a large value on its way.
        self._transfer = transfer
        # None: the service is on another machine.
        self._handover_dir = handover_dir
        # How values are read: whoever only shows them reads them otherwise.
        self.loads: Callable[[bytes], Any] = pickling.loads
        self.load_file: Callable[[BinaryIO], Any] = pickling.load

    def put(self, write: Callable[[BinaryIO], None]) -> Payload:
        """Store what `write` puts into the file it is given."""
        if self._handover_dir is not None:
            blob_id = new_id("bl")
            size = self._hand_over(self._handover_dir, blob_id, write)
        else:
            blob_id, size = self._send(write)
        return Payload(format=Format.PICKLE, blob_id=blob_id, size=size)

    def put_bytes(self, data: bytes) -> Payload:
        """Store bytes."""

        def write(file: BinaryIO) -> None:
            file.write(data)

        return self.put(write)

    def put_content(
        self, blob_id: str, file: BinaryIO, size: int, report: Callable[[int], None] = lambda size: None
    ) -> None:
        """Store the first `size` bytes of a file under that id, which is their hash. `report` hears of each piece.

        Raises InvalidError where they have another.
        """

        def send(_: str) -> Iterator[BlobChunk]:
            return _chunks(blob_id, file, size, report)

        self._upload(file, send)

    def load(self, payload: Payload) -> Any:
        """Return the value that a payload holds, None where it holds none.

        Raises DeserializationError, and RemoteError when its blob is gone.
        """
        if payload.format == Format.JSON:
            from wherry._connection.json_values import load  # noqa: PLC0415 - start-up cost: only for calls made over HTTP

            return load(self.raw(payload))
        if payload.format not in (Format.PICKLE, Format.UNSPECIFIED):
            raise DeserializationError(
                f"the value has format {payload.format}, which this version of wherry can't read"
            )
        if not payload.blob_id:
            return self.loads(payload.data) if payload.data else None
        return self._load_blob(payload, self.load_file, pickling.load)

    def raw(self, payload: Payload) -> bytes:
        """Return the bytes that a payload holds, as they are."""
        if not payload.blob_id:
            return payload.data
        return cast("bytes", self._load_blob(payload, lambda file: file.read(), lambda file: file.read()))

    def _load_blob(
        self, payload: Payload, load_here: Callable[[BinaryIO], Any], load_fetched: Callable[[BinaryIO], Any]
    ) -> Any:
        try:
            return self._read_blob(payload, load_here, load_fetched)
        except (NotFoundError, FileNotFoundError) as error:
            raise RemoteError(f"the value ({payload.size} bytes) is no longer stored: {error}") from None

    def _read_blob(
        self, payload: Payload, load_here: Callable[[BinaryIO], Any], load_fetched: Callable[[BinaryIO], Any]
    ) -> Any:
        request = BlobGetRequest(blob_id=payload.blob_id)
        if self._handover_dir is not None:
            location = cast("BlobLocation", self._transport.call("Blobs.Locate", request))
            with open(location.path, "rb") as file:
                return load_here(file)
        with tempfile.TemporaryFile() as copy, self._shown("Fetching a value", payload.size) as report:

            def fetch() -> None:
                copy.seek(0)
                copy.truncate()
                for chunk in self._transport.stream("Blobs.Get", request):
                    data = cast("BlobChunk", chunk).data
                    copy.write(data)
                    report(len(data))

            self._persist(fetch)
            copy.seek(0)
            return load_fetched(cast("BinaryIO", copy))

    def _hand_over(self, folder: Path, blob_id: str, write: Callable[[BinaryIO], None]) -> int:
        path = folder / blob_id
        try:
            with open(path, "xb") as file:
                write(file)
                size = file.tell()
            self._transport.call("Blobs.Adopt", BlobAdoptRequest(blob_id=blob_id, file_name=blob_id))
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                told = f"the disk of the service is full: a value above 1 MiB found no room in {folder}"
                raise ResourceExhaustedError(told) from None
            raise
        return size

    def _send(self, write: Callable[[BinaryIO], None]) -> tuple[str, int]:
        with tempfile.TemporaryFile() as opened:
            file = cast("BinaryIO", opened)
            write(file)
            size = file.tell()
            file.seek(0)
            with self._shown("Sending a value", size) as report:
                info = self._upload(file, lambda blob_id: _chunks(blob_id, file, report=report))
        return info.blob_id, info.size

    def _upload(self, file: BinaryIO, chunks: Callable[[str], Iterator[BlobChunk]]) -> BlobInfo:
        """Send a file; where the service goes meanwhile, from where it began again, under a new id."""
        begin = file.tell()

        def send() -> BlobInfo:
            file.seek(begin)
            return cast("BlobInfo", self._transport.upload("Blobs.Put", chunks(new_id("bl"))))

        return self._persist(send)

    @contextlib.contextmanager
    def _shown(self, what: str, size: int) -> Iterator[Callable[[int], None]]:
        if size < SHOWN_FROM:
            yield lambda size: None
            return
        transfer = self._transfer(what, size)
        try:
            yield transfer.advance
        finally:
            transfer.end()


def handover_dir(path: str) -> Path | None:
    """Return the hand-over directory that the service names, if it is one of this machine that we may write."""
    return Path(path) if path and os.access(path, os.W_OK | os.X_OK) else None


def _chunks(
    blob_id: str, file: BinaryIO, size: int | None = None, report: Callable[[int], None] = lambda size: None
) -> Iterator[BlobChunk]:
    left = size if size is not None else sys.maxsize
    data = file.read(min(CHUNK, left))
    yield BlobChunk(blob_id=blob_id, data=data)
    report(len(data))
    while (left := left - len(data)) > 0 and (data := file.read(min(CHUNK, left))):
        yield BlobChunk(data=data)
        report(len(data))
