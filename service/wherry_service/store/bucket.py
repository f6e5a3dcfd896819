"""A bucket of an S3-compatible store, or of another that obstore knows."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry_service.errors import Unready

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3://", "gs://", "az://")
CACHE_MIB = 10240
_CHUNK = 1 << 20
# What a store that does not answer costs before its caller hears of it, in seconds and attempts.
_RETRY: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=20)}
_DELETE_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class BlobSettings:
    """Where blobs are kept."""

    # "": in the state directory alone.
    url: str = ""
    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = ""
    cache_bytes: int = CACHE_MIB << 20

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "BlobSettings":
        """Read WHERRY_BLOBS_…; raise `Unready`, which names the variable, for nonsense."""
        url = environ.get("WHERRY_BLOBS_URL", "")
        if url and not url.startswith(SCHEMES):
            raise Unready(f"WHERRY_BLOBS_URL is {url!r}: write s3://BUCKET/FOLDER")
        cache_mib = environ.get("WHERRY_BLOBS_CACHE_MIB", "") or str(CACHE_MIB)
        if not cache_mib.isdigit():
            raise Unready(f"WHERRY_BLOBS_CACHE_MIB is {cache_mib!r}: it is a number of MiB")
        return cls(
            url,
            environ.get("WHERRY_BLOBS_ENDPOINT", ""),
            environ.get("WHERRY_BLOBS_REGION", ""),
            environ.get("WHERRY_BLOBS_ACCESS_KEY", ""),
            environ.get("WHERRY_BLOBS_SECRET_KEY", ""),
            int(cache_mib) << 20,
        )


class Bucket:
    """Objects by key, below the folder that the URL names. Methods block, and raise `Unready` when it fails."""

    def __init__(self, store: "ObjectStore", name: str) -> None:
        self._store = store
        self._name = name

    @classmethod
    def open(cls, settings: BlobSettings) -> "Bucket":
        """Return the bucket that the settings name; nothing is asked of it yet."""
        from obstore.exceptions import BaseError  # noqa: PLC0415 - start-up cost: 2 ms and 1.3 MiB, only for services that have one
        from obstore.store import from_url  # noqa: PLC0415 - start-up cost: as above

        given = {
            "endpoint": settings.endpoint,
            "region": settings.region,
            "access_key_id": settings.access_key,
            "secret_access_key": settings.secret_key,
        }
        config: dict[str, Any] = {name: value for name, value in given.items() if value}
        if settings.endpoint.startswith("http://"):
            config["client_options"] = {"allow_http": True}
        try:
            store = from_url(settings.url, retry_config=_RETRY, **config)
        except (BaseError, ValueError, TypeError) as error:
            raise Unready(f"WHERRY_BLOBS_URL is {settings.url!r}, which can't be used: {_first_line(error)}") from None
        return cls(store, settings.url)

    def put_file(self, key: str, path: Path) -> None:
        """Store a file's content; a large one goes in parts."""
        from obstore import put  # noqa: PLC0415 - start-up cost: as in `open`

        with self._told("write", key):
            put(self._store, key, path)

    def put(self, key: str, data: bytes) -> None:
        """Store a few bytes."""
        from obstore import put  # noqa: PLC0415 - start-up cost: as in `open`

        with self._told("write", key):
            put(self._store, key, data)

    def get(self, key: str) -> Iterator[bytes]:
        """Yield an object's content; raise `FileNotFoundError` if there is none."""
        from obstore import get  # noqa: PLC0415 - start-up cost: as in `open`

        with self._told("read", key):
            for chunk in get(self._store, key).stream(min_chunk_size=_CHUNK):
                yield bytes(chunk)

    def size(self, key: str) -> int | None:
        """Return an object's size in bytes, None if there is none."""
        from obstore import head  # noqa: PLC0415 - start-up cost: as in `open`

        try:
            with self._told("look for", key):
                return int(head(self._store, key)["size"])
        except FileNotFoundError:
            return None

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing ones are fine."""
        from obstore import delete  # noqa: PLC0415 - start-up cost: as in `open`

        doomed = list(keys)
        for begin in range(0, len(doomed), _DELETE_AT_ONCE):
            with self._told("delete in", doomed[begin]):
                try:
                    delete(self._store, doomed[begin : begin + _DELETE_AT_ONCE])
                except FileNotFoundError:
                    continue

    def list(self, folder: str) -> Iterator[tuple[str, datetime]]:
        """Yield the keys in a folder, each with when it was written."""
        from obstore import list as listed  # noqa: PLC0415 - start-up cost: as in `open`

        with self._told("list", folder):
            for page in listed(self._store, folder):
                for meta in page:
                    yield str(meta["path"]), meta["last_modified"]

    @contextmanager
    def _told(self, verb: str, key: str) -> Iterator[None]:
        from obstore.exceptions import BaseError  # noqa: PLC0415 - start-up cost: 2 ms and 1.3 MiB, only for services that have one

        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._failed(verb, key, error) from None
            raise
        except (BaseError, PermissionError, TimeoutError) as error:
            raise self._failed(verb, key, error) from None

    def _failed(self, verb: str, key: str, error: Exception) -> Unready:
        return Unready(f"the store of blobs can't {verb} {self._name.rstrip('/')}/{key}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    """Return what a person needs of obstore's pages of text."""
    text = str(error).partition("\n\nDebug source")[0]
    return " ".join(text.split())[:400]
