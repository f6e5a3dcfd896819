"""What the first bytes of a connection, or a question for a name, ask for: as much of TLS, HTTP and DNS as that takes.

What comes is a stranger's: each function looks at bytes that may be anything, and says None where they are not that.
"""

import struct
from typing import NamedTuple

# Bytes of a beginning: of a ClientHello with its extensions, or of a request's head.
MOST_BYTES = 16 << 10
_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME = 22, 1, 0
_A, _IN = 1, 1
_LOCAL_HEADERS = ("connection", "keep-alive", "proxy-connection", "upgrade")


class TooEarly(Exception):
    """There must be more before it can be said."""


class Question(NamedTuple):
    """A question for a name."""

    name: str
    is_address: bool
    # What an answer repeats.
    number: int
    asked: bytes
    wants_recursion: bool


def server_name(data: bytes) -> str | None:
    """Return the server that a TLS client names; None where it is no TLS, or names none. Raises `TooEarly`."""
    hello = b""
    place = 0
    # A hello may come in several records.
    while len(hello) < 4 or len(hello) < 4 + int.from_bytes(hello[1:4], "big"):
        if len(data) < place + 5:
            raise TooEarly
        kind, size = data[place], int.from_bytes(data[place + 3 : place + 5], "big")
        if kind != _HANDSHAKE or not size or (hello[:1] or b"\x01") != b"\x01":
            return None
        piece = data[place + 5 : place + 5 + size]
        if len(piece) < size:
            raise TooEarly
        hello += piece
        place += 5 + size
    try:
        return _named(hello) if hello[0] == _CLIENT_HELLO else None
    except (IndexError, struct.error, UnicodeDecodeError):
        return None


def _named(hello: bytes) -> str | None:
    place = 4 + 2 + 32
    place += 1 + hello[place]
    place += 2 + int.from_bytes(hello[place : place + 2], "big")
    place += 1 + hello[place]
    end = place + 2 + int.from_bytes(hello[place : place + 2], "big")
    place += 2
    while place + 4 <= min(end, len(hello)):
        kind, size = struct.unpack_from(">HH", hello, place)
        if kind == _SERVER_NAME:
            body = hello[place + 4 : place + 4 + size]
            name_kind, name_size = struct.unpack_from(">BH", body, 2)
            name = body[5 : 5 + name_size]
            return name.decode("ascii") if name_kind == 0 and len(name) == name_size else None
        place += 4 + size
    return None


def request_host(data: bytes) -> tuple[str, bytes] | None:
    """Return the host that an HTTP request is for, and the request as it may be sent there; None if it is none.

    As sent it says that no other follows: on a connection that stays, the next could be for another host of the same
    server. Raises `TooEarly`.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        raise TooEarly
    try:
        first, *lines = head.decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        return None
    words = first.split(" ")
    # A line that ends otherwise is another line to some servers.
    if len(words) != 3 or any("\r" in line or "\n" in line for line in (first, *lines)):
        return None
    if not words[1].startswith("/") or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
        return None
    hosts, kept = [], []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            return None
        if name.lower() == "host":
            hosts.append(value.strip())
        if name.lower() not in _LOCAL_HEADERS:
            kept.append(line)
    if len(hosts) != 1:
        return None
    host = hosts[0].removesuffix(":80")
    sent = "\r\n".join([first, *kept, "Connection: close", "", ""]).encode()
    return host, sent + rest


def question(packet: bytes) -> Question | None:
    """Return what a packet asks; None where it is no single plain question."""
    if not 17 <= len(packet) <= 512:
        return None
    number, flags, questions, answers, authorities = struct.unpack_from(">HHHHH", packet)
    if flags & 0xF800 or questions != 1 or answers or authorities:
        return None
    labels: list[str] = []
    place = 12
    while place < len(packet) and (size := packet[place]):
        if size > 63 or place + 1 + size > len(packet):
            return None
        try:
            labels.append(packet[place + 1 : place + 1 + size].decode("ascii"))
        except UnicodeDecodeError:
            return None
        place += 1 + size
    if len(packet) < place + 5 or not labels:
        return None
    kind, scope = struct.unpack_from(">HH", packet, place + 1)
    if scope != _IN:
        return None
    return Question(".".join(labels), kind == _A, number, packet[12 : place + 5], bool(flags & 0x100))


def answer(asked: Question, address: str | None, is_known: bool) -> bytes:
    """Return the packet that answers; a name that is known has one address, and nothing else."""
    code = 0 if is_known else 3
    flags = 0x8080 | (0x100 if asked.wants_recursion else 0) | code
    rows = b""
    if is_known and asked.is_address and address:
        rows = struct.pack(">HHHIH", 0xC00C, _A, _IN, 5, 4) + bytes(int(part) for part in address.split("."))
    return struct.pack(">HHHHHH", asked.number, flags, 1, 1 if rows else 0, 0, 0) + asked.asked + rows
