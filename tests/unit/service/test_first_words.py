"""What the first bytes of a connection ask for, and what bytes that are something else are taken for: nothing."""

import random
import ssl
import struct

import pytest

from wherry_service.node.first_words import TooEarly, answer, question, request_host, server_name


def hello(name: str | None) -> bytes:
    """Return what a TLS client says first."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def test_the_server_that_a_client_names() -> None:
    assert server_name(hello("www.Example.com")) == "www.Example.com"
    assert server_name(hello(None)) is None


def test_a_hello_in_pieces_is_waited_for() -> None:
    whole = hello("example.com")
    for length in range(len(whole)):
        with pytest.raises(TooEarly):
            server_name(whole[:length])
    # In records of 50 bytes each.
    body = whole[5:]
    pieces = [body[start : start + 50] for start in range(0, len(body), 50)]
    split = b"".join(whole[:3] + struct.pack(">H", len(piece)) + piece for piece in pieces)
    assert server_name(split) == "example.com"


def test_what_is_no_hello_names_nobody_and_breaks_nothing() -> None:
    whole = hello("example.com")
    random.seed(7)
    for _ in range(3000):
        spoilt = bytearray(whole)
        for _ in range(random.randint(1, 8)):
            spoilt[random.randrange(len(spoilt))] = random.randrange(256)
        try:
            found = server_name(bytes(spoilt))
        except TooEarly:
            continue
        assert found is None or isinstance(found, str)
    assert server_name(b"\x16\x03\x01\x00\x00") is None
    assert server_name(b"\x15\x03\x01\x00\x02\x01\x00") is None


def test_the_host_of_a_request_which_is_the_last_on_its_connection() -> None:
    found = request_host(b"GET /a?b HTTP/1.1\r\nHost: Example.com:80\r\nConnection: keep-alive\r\nA: b\r\n\r\nbody")
    assert found == (
        "Example.com",
        b"GET /a?b HTTP/1.1\r\nHost: Example.com:80\r\nA: b\r\nConnection: close\r\n\r\nbody",
    )
    with pytest.raises(TooEarly):
        request_host(b"GET / HTTP/1.1\r\nHost: a\r\n")


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://other.example/ HTTP/1.1\r\nHost: a",
        b"CONNECT other.example:443 HTTP/1.1\r\nHost: a",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: other.example",
        b"GET / HTTP/1.1\r\nHost: a\r\nhost : other.example",
        b"GET / HTTP/1.1\r\nHost: a\r\n other: folded",
        b"GET / HTTP/1.1\r\nHost: a\nHost: other.example",
        b"GET / HTTP/1.1\r\nHost: a\rHost: other.example",
        b"GET / HTTP/1.1\r\nA: b",
        b"GET / HTTP/2.0\r\nHost: a",
        b"GET  / HTTP/1.1\r\nHost: a",
        b"SSH-2.0-x",
        b"\xff\xfe",
    ],
)
def test_what_servers_could_read_in_two_ways_is_no_request(head: bytes) -> None:
    assert request_host(head + b"\r\n\r\n") is None


def packet(name: str, kind: int = 1, questions: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    return struct.pack(">HHHHHH", 77, 0x100, questions, 0, 0, 0) + labels + struct.pack(">HH", kind, 1)


def test_a_question_is_answered_with_the_one_address() -> None:
    asked = question(packet("www.example.com"))
    assert asked is not None
    assert (asked.name, asked.is_address, asked.number) == ("www.example.com", True, 77)
    got = answer(asked, "192.168.1.1", True)
    assert got[:12] == struct.pack(">HHHHHH", 77, 0x8180, 1, 1, 0, 0)
    assert got.endswith(bytes((192, 168, 1, 1)))
    unknown = answer(asked, "192.168.1.1", False)
    assert (unknown[3] & 15, unknown[7]) == (3, 0)
    # It has no other addresses, and nothing else.
    other = question(packet("www.example.com", 28))
    assert other is not None
    assert not other.is_address
    got = answer(other, "192.168.1.1", True)
    assert (got[3] & 15, got[7]) == (0, 0)


def test_what_is_no_question_is_none() -> None:
    whole = packet("www.example.com")
    assert question(packet("a" * 64)) is None
    assert question(packet("a.b", questions=2)) is None
    assert question(whole[:2] + b"\x81\x80" + whole[4:]) is None, "an answer"
    random.seed(7)
    for _ in range(3000):
        spoilt = bytearray(whole[: random.randrange(len(whole) + 1)])
        for _ in range(random.randint(0, 4)):
            if spoilt:
                spoilt[random.randrange(len(spoilt))] = random.randrange(256)
        question(bytes(spoilt))
