"""The key that secrets are encrypted with: in a file beside the database, or given by the operator."""

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from wherry_service.errors import Unready

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

VARIABLE = "WHERRY_SECRET_KEY"
FILE_NAME = "secret.key"
_KEY_BYTES = 32


class Keys:
    """Encrypts and decrypts; the first key encrypts, every key decrypts.

    `given` holds the operator's keys, separated by commas: 32 bytes each, in base 64. Without, keys are in `path`, one
    a line, and the first is made when the first secret comes.
    """

    def __init__(self, path: Path, given: str = "") -> None:
        self._path = path
        self._given = given
        self._keys: list[bytes] = []
        self._cipher: MultiFernet | None = None

    @classmethod
    def take_from(cls, path: Path, environ: "os._Environ[str]") -> "Keys":
        """Take the keys out of the environment, lest the service's children inherit them."""
        return cls(path, environ.pop(VARIABLE, ""))

    @property
    def are_given(self) -> bool:
        """Whether the operator chooses the keys."""
        return bool(self._given)

    def encrypt(self, data: bytes, first: bool = False) -> bytes:
        """Encrypt; `first`: nothing is encrypted yet, so a key may be made. Raises `Unready` without a usable key."""
        return self._ready(first).encrypt(data)

    def decrypt(self, data: bytes) -> bytes:
        """Decrypt what one of the keys encrypted; raise `Unready` where none did."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - start-up cost: takes 30 ms to load: only where there are secrets

        try:
            return self._ready(False).decrypt(data)
        except InvalidToken:
            where = VARIABLE if self._given else str(self._path)
            raise Unready(
                f"a secret can't be decrypted: it was encrypted with another key than those in {where}; put that key "
                "back, or delete the secret and create it again"
            ) from None

    def digest(self, data: bytes) -> str:
        """Return a hash that nobody without the key can compare with guesses."""
        return self.digests(data)[0]

    def digests(self, data: bytes) -> list[str]:
        """Return the hash, and those that earlier keys made, of which some are kept where `drop` was never called."""
        self._ready(False)
        return [hmac.new(key, data, hashlib.sha256).hexdigest() for key in self._keys]

    def add(self) -> Callable[[], None]:
        """Make a new key the first; return what drops the others, once everything is encrypted with it."""
        self._ready(False)
        if self._given:
            return lambda: None
        self._write_and_use([_new_key(), *self._keys])

        def drop() -> None:
            self._write_and_use(self._keys[:1])

        return drop

    def _ready(self, first: bool) -> "MultiFernet":
        if self._cipher is None:
            if self._given:
                self._use([_parsed(text, VARIABLE) for text in self._given.split(",") if text.strip()])
            elif self._path.exists():
                self._use([_parsed(line, str(self._path)) for line in self._path.read_text().split()])
            elif first:
                self._write_and_use([_new_key()])
            else:
                raise Unready(
                    f"the key of the secrets is gone: {self._path} does not exist; put it back from a copy, or delete "
                    "the secrets and create them again"
                )
        assert self._cipher is not None
        return self._cipher

    def _use(self, keys: list[bytes]) -> None:
        from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - start-up cost: as above

        if not keys:
            raise Unready(f"{VARIABLE if self._given else self._path} holds no key")
        self._keys = keys
        self._cipher = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])

    def _write_and_use(self, keys: list[bytes]) -> None:
        # In this order: what a key encrypts that is on no disk is lost when the service ends.
        self._write(keys)
        self._use(keys)

    def _write(self, keys: list[bytes]) -> None:
        """Replace the file whole, readable by nobody else at any moment; raise OSError, and leave it as it was."""
        part = self._path.with_suffix(".part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.writelines(base64.urlsafe_b64encode(key) + b"\n" for key in keys)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self._path)

    def __repr__(self) -> str:
        return f"Keys({len(self._keys)})"


def _new_key() -> bytes:
    return os.urandom(_KEY_BYTES)


def _parsed(text: str, where: str) -> bytes:
    """Return a key; both alphabets of base 64 will do, as `openssl rand -base64 32` writes the older one."""
    key = b""
    with contextlib.suppress(binascii.Error, ValueError):
        key = base64.urlsafe_b64decode(text.strip().replace("+", "-").replace("/", "_"))
    if len(key) != _KEY_BYTES:
        raise Unready(
            f"{where} holds something that is no key: 32 bytes in base 64, as `openssl rand -base64 32` makes"
        )
    return key
