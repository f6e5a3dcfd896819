"""The ways on which lines leave. Each `send` blocks, in a thread, and raises where it failed.

OSError: to try again later. Refused: the same lines will never be taken.
"""

import contextlib
import datetime
import errno
import http.client
import json
import logging.handlers
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from wherry_service.forward.line import Line
from wherry_service.forward.refused import Refused

TIMEOUT_S = 10.0
# Of a file: then a new one is begun, and so many older ones are kept.
FILE_BYTES, OLD_FILES = 100 << 20, 4
# A datagram is cut there.
DATAGRAM_BYTES = 8 << 10
# Or there, where that does not fit.
LEAST_DATAGRAM_BYTES = 1200
# RFC 5424: the facility local0, and the private enterprise number that is for examples.
_FACILITY = 16
_DATA_ID = "wherry@32473"
_SEVERITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}
# The largest fixed64; a time of more nanoseconds makes a receiver refuse all lines of a batch.
_MAX_NS = (1 << 64) - 1
# HTTP: the same request may be taken later.
_LATER = frozenset({408, 429})
_TOO_LARGE = 413
# The last second of the year 9999.
_MAX_MS = 253_402_300_799_000
# OpenTelemetry's severities.
_NUMBERS = {"debug": 5, "info": 9, "warning": 13, "error": 17}


class Sender(Protocol):
    """One way."""

    def send(self, lines: Sequence[Line]) -> None:
        """Send lines; raise OSError where they may be taken later, Refused where they never are."""

    def close(self) -> None: ...


class FileSender:
    """Lines of JSON in a file, which is begun anew before it grows too large."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: _Rotating | None = None

    def send(self, lines: Sequence[Line]) -> None:
        if self._file is None or self._file.stream is None or not self._path.exists():
            self.close()
            self._file = _Rotating(self._path, maxBytes=FILE_BYTES, backupCount=OLD_FILES, encoding="utf-8")
        try:
            for line in lines:
                self._file.write(
                    json.dumps({"at": _time(line.at_ms), "text": line.text, **line.fields()}, ensure_ascii=False)
                )
            self._file.end_batch()
        except OSError:
            file, self._file = self._file, None
            file.abandon()
            raise

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _Rotating(logging.handlers.RotatingFileHandler):
    def _open(self) -> TextIOWrapper:
        # For the service's user and group: what was printed is not for everyone.
        opened = os.open(self.baseFilename, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o640)
        # How large it was when all in it was whole.
        self._whole = os.fstat(opened).st_size
        return os.fdopen(opened, "a", encoding="utf-8", errors="replace")

    def write(self, text: str) -> None:
        """Write a line; raise OSError, which `emit` would only print."""
        record = logging.makeLogRecord({"msg": text})
        if self.shouldRollover(record):
            self.doRollover()
        if self.stream is None:
            self.stream = self._open()
        self.stream.write(f"{text}\n")

    def end_batch(self) -> None:
        """Write what is buffered; raise OSError."""
        if self.stream is not None:
            self.stream.flush()
            self._whole = os.fstat(self.stream.fileno()).st_size

    def abandon(self) -> None:
        """Close it, without the part of a batch that could be written: it comes again."""
        if self.stream is None or self.stream.closed:
            return
        opened = os.dup(self.stream.fileno())
        try:
            with contextlib.suppress(OSError):
                self.close()
            if os.fstat(opened).st_size > self._whole:
                with contextlib.suppress(OSError):
                    os.ftruncate(opened, self._whole)
        finally:
            os.close(opened)


class SyslogSender:
    """RFC 5424, over UDP, TCP (with the length of each, RFC 6587) or a socket of this machine."""

    def __init__(self, address: str) -> None:
        self._parts = urlsplit(address)
        self._socket: socket.socket | None = None
        self._host = socket.gethostname()

    def send(self, lines: Sequence[Line]) -> None:
        try:
            if self._socket is None:
                self._socket = self._open()
            if self._parts.scheme == "tcp":
                messages = (_syslog(line, self._host) for line in lines)
                self._socket.sendall(b"".join(b"%d %s" % (len(one), one) for one in messages))
                return
            for line in lines:
                self._send_datagram(_syslog(line, self._host)[:DATAGRAM_BYTES])
        except OSError:
            self.close()
            raise

    def _send_datagram(self, message: bytes) -> None:
        assert self._socket is not None
        try:
            self._socket.send(message)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            # So much does not fit on this way.
            self._socket.send(message[:LEAST_DATAGRAM_BYTES])

    def _open(self) -> socket.socket:
        parts = self._parts
        if parts.scheme == "tcp":
            return socket.create_connection((parts.hostname, parts.port or 601), TIMEOUT_S)
        if parts.scheme == "unix":
            family, address = socket.AF_UNIX, parts.path
        else:
            family, _, _, _, address = socket.getaddrinfo(parts.hostname, parts.port or 514, type=socket.SOCK_DGRAM)[0]  # type: ignore[assignment]
        opened = socket.socket(family, socket.SOCK_DGRAM)
        opened.settimeout(TIMEOUT_S)
        try:
            opened.connect(address)
        except OSError:
            opened.close()
            raise
        return opened

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _syslog(line: Line, host: str) -> bytes:
    priority = _FACILITY * 8 + _SEVERITIES.get(line.level, 6)
    data = " ".join(f'{name}="{_escaped(value)}"' for name, value in line.fields().items())
    head = f"<{priority}>1 {_time(line.at_ms)} {host} wherry - {line.stream} [{_DATA_ID} {data}] "
    # One message is one line, whatever a container prints.
    text = line.text.replace("\n", " ").replace("\r", " ").replace("\0", " ")
    return head.encode("utf-8", "replace") + text.encode("utf-8", "replace")


def _escaped(value: str) -> str:
    plain = "".join(one if one.isprintable() else "?" for one in value)
    return plain.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


class OtlpSender:
    """OpenTelemetry's protocol over HTTP, as JSON."""

    def __init__(self, url: str, headers: Sequence[tuple[str, str]]) -> None:
        self._url = url if urlsplit(url).path not in ("", "/") else f"{url.rstrip('/')}/v1/logs"
        self._headers = {**dict(headers), "Content-Type": "application/json"}
        # Proxies are for what lies outside.
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(self, lines: Sequence[Line]) -> None:
        body = json.dumps(_otlp(lines)).encode()
        request = urllib.request.Request(self._url, body, self._headers)
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                answer.read(1 << 16)
        except urllib.error.HTTPError as error:
            error.close()
            told = f"it answered with {error.code}"
            if 400 <= error.code < 500 and error.code not in _LATER:
                raise Refused(told, too_large=error.code == _TOO_LARGE) from None
            raise OSError(told) from None
        except urllib.error.URLError as error:
            raise OSError(str(error.reason)) from None
        except http.client.HTTPException as error:
            raise OSError(f"what it answered is not HTTP: {type(error).__name__}") from None

    def close(self) -> None:
        pass


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Headers may be secret: they go to nobody else."""

    def redirect_request(self, *args: object, **keywords: object) -> None:
        return None


def _otlp(lines: Sequence[Line]) -> dict[str, object]:
    resource = {"attributes": [_attribute("service.name", "wherry"), _attribute("host.name", socket.gethostname())]}
    records = [_record(line) for line in lines]
    scope = {"scope": {"name": "wherry"}, "logRecords": records}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}


def _record(line: Line) -> dict[str, object]:
    return {
        "timeUnixNano": str(min(max(0, line.at_ms * 1_000_000), _MAX_NS)),
        "severityNumber": _NUMBERS.get(line.level, 9),
        "severityText": line.level,
        "body": {"stringValue": line.text},
        "attributes": [_attribute(f"wherry.{name}", value) for name, value in line.fields().items()],
    }


def _attribute(name: str, value: str) -> dict[str, object]:
    return {"key": name, "value": {"stringValue": value}}


def _time(at_ms: int) -> str:
    return datetime.datetime.fromtimestamp(min(max(0, at_ms), _MAX_MS) / 1000, datetime.UTC).isoformat(
        timespec="milliseconds"
    )
