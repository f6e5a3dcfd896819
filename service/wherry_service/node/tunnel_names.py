"""What tunnels are called in URLs, and the tokens that let somebody into a sandbox: nothing of either is kept.

A name says whose port it is, and a code that only this service can compute: who does not know the name can't guess it.
It is the same in the service's next life.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
from pathlib import Path

FILE_NAME = "tunnels.key"
# Of a token's second half.
CODE_CHARACTERS = 52
_NAME = re.compile(r"tunnel--(sb|co)([0-9a-hjkmnp-tv-z]{26})-(\d{1,5})-([a-z2-7]{16})\Z")


class TunnelNames:
    """Names and tokens of one service, whose key is a file that it makes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known_key = b""

    @property
    def _key(self) -> bytes:
        if not self._known_key:
            if not self._path.exists():
                made = self._path.with_suffix(f".{os.getpid()}")
                with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                    file.write(os.urandom(32))
                # Of two that make one at once the first counts.
                with contextlib.suppress(FileExistsError):
                    os.link(made, self._path)
                made.unlink()
            self._known_key = self._path.read_bytes()
        return self._known_key

    def name(self, owner_id: str, port: int) -> str:
        """Return the first part of the host at which a port of a sandbox or a container answers; 0: by a token."""
        prefix, _, rest = owner_id.lower().partition("-")
        return f"tunnel--{prefix}{rest}-{port}-{self._code(f'name {owner_id} {port}')}"

    def read(self, name: str) -> tuple[str, int] | None:
        """Return whose port a name stands for; None where it is no name that this service has made."""
        match = _NAME.match(name)
        if match is None:
            return None
        owner_id, port = f"{match[1]}-{match[2].upper()}", int(match[3])
        if not hmac.compare_digest(match[4], self._code(f"name {owner_id} {port}")):
            return None
        return owner_id, port

    def token(self, owner_id: str, port: int, metadata: str) -> str:
        """Return what lets who has it reach a port; `metadata` is told to who answers there."""
        said = base64.urlsafe_b64encode(json.dumps([port, metadata]).encode()).decode().rstrip("=")
        return f"{said}.{self._code(f'token {owner_id} {said}', CODE_CHARACTERS)}"

    def read_token(self, owner_id: str, token: str) -> tuple[int, str] | None:
        """Return a token's port and metadata; None where it is none for that owner."""
        said, _, code = token.partition(".")
        wanted = self._code(f"token {owner_id} {said}", CODE_CHARACTERS)
        if not token.isascii() or not hmac.compare_digest(code, wanted):
            return None
        # It is of our own making.
        row = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
        return int(row[0]), str(row[1])

    def _code(self, text: str, length: int = 16) -> str:
        digest = hmac.digest(self._key, text.encode(), hashlib.sha256)
        return base64.b32encode(digest).decode().lower()[:length]
