"""Lines sent on to others: all that was printed, as each way has it, and nobody waits for a receiver."""

import errno
import http.server
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_until
from wherry_service.forward import forwarder as forwarder_module
from wherry_service.forward import senders
from wherry_service.forward.forwarder import Forwarder, Names, Way
from wherry_service.forward.line import Line
from wherry_service.forward.refused import Refused
from wherry_service.forward.settings import ForwardSettings
from wherry_service.logs.batch import LogBatch
from wherry_service.settings_key import SettingsError

BATCH = LogBatch("ap-1", "fu-1", "co-1", [(1, "in-1", 1_700_000_000_123, 'said "a]\\"\nmore', False)], {"in-1": "fc-1"})
FIELDS = {
    "stream": "stdout",
    "level": "info",
    "environment": "main",
    "app_name": "shop",
    "app_id": "ap-1",
    "function_name": "resize",
    "container_id": "co-1",
    "call_id": "fc-1",
    "input_id": "in-1",
}


def names(function_id: str) -> Names:
    return Names("main", "shop", "resize") if function_id == "fu-1" else Names()


def forwarding(**environ: str) -> Forwarder:
    settings = ForwardSettings.from_environment({f"WHERRY_LOGS_{name.upper()}": text for name, text in environ.items()})
    return Forwarder(settings, names)


def sent(made: Forwarder) -> None:
    """Send a line of a container and one of the service."""
    made.begin()
    try:
        made.on_batch(BATCH)
        logging.getLogger("wherry_service.test").warning("of the %s", "service")
    finally:
        made.close()


class Receiver(http.server.BaseHTTPRequestHandler):
    got: list[tuple[str, dict[str, str], Any]]
    answer = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, dict(self.headers), json.loads(body)))
        self.send_response(self.answer)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[Receiver]]]:
    kind = type("Own", (Receiver,), {"got": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}", kind
        server.shutdown()
        serving.join()


def test_over_otlp(receiver: tuple[str, type[Receiver]]) -> None:
    url, kind = receiver
    sent(forwarding(forward="otlp", forward_otlp=url, forward_headers="x-token=secret"))
    path, headers, _ = kind.got[0]
    assert (path, headers["X-Token"], headers["Content-Type"]) == ("/v1/logs", "secret", "application/json")
    records = [
        record
        for _, _, body in kind.got
        for record in body["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
        if record["body"]["stringValue"] in (BATCH.rows[0][3], "of the service")
    ]
    first, second = records
    assert (first["timeUnixNano"], first["body"]) == ("1700000000123000000", {"stringValue": BATCH.rows[0][3]})
    attributes = {one["key"]: one["value"]["stringValue"] for one in first["attributes"]}
    assert attributes == {f"wherry.{name}": value for name, value in FIELDS.items()}
    assert (second["severityText"], second["severityNumber"]) == ("warning", 13)


def test_a_receiver_that_leads_elsewhere_is_not_followed(receiver: tuple[str, type[Receiver]]) -> None:
    url, kind = receiver
    kind.answer = 302
    with pytest.raises(OSError, match="it answered with 302"):
        senders.OtlpSender(url, [("x-token", "secret")]).send([Line(1, "text", "stdout")])
    assert [path for path, _, _ in kind.got] == ["/v1/logs"]


def test_into_a_file_that_may_be_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    sent(forwarding(forward="file", forward_file=str(path)))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert not path.stat().st_mode & 0o007
    assert lines[0] == {"at": "2023-11-14T22:13:20.123+00:00", "text": BATCH.rows[0][3], **FIELDS}
    assert {"text": "of the service", "stream": "service", "level": "warning"}.items() <= lines[-1].items()
    sender = senders.FileSender(path)
    sender.send([Line(1, "first", "stdout")])
    path.rename(tmp_path / "older")
    sender.send([Line(1, "second", "stdout")])
    sender.close()
    assert "second" in path.read_text()


def test_a_file_is_begun_anew_before_it_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "FILE_BYTES", 1000)
    sender = senders.FileSender(tmp_path / "lines")
    sender.send([Line(1, "x" * 100, "stdout")] * 100)
    sender.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lines", *(f"lines.{n}" for n in (1, 2, 3, 4))]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["udp", "tcp", "unix"])
def test_to_a_syslog(kind: str, tmp_path: Path) -> None:
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    with listener:
        listener.bind(str(tmp_path / "log") if kind == "unix" else ("127.0.0.1", 0))
        listener.settimeout(10)
        place = str(tmp_path / "log") if kind == "unix" else f"127.0.0.1:{listener.getsockname()[1]}"
        if kind == "tcp":
            listener.listen()
        sent(forwarding(forward="syslog", forward_syslog=f"{kind}://{place}"))
        if kind == "tcp":
            connection, _ = listener.accept()
            with connection:
                length, _, rest = connection.makefile("rb").read().partition(b" ")
                message = rest[: int(length)]
        else:
            message = listener.recv(1 << 16)
    text = message.decode()
    assert text.startswith("<134>1 2023-11-14T22:13:20.123+00:00 ")
    assert ' wherry - stdout [wherry@32473 stream="stdout" level="info" environment="main"' in text
    # One message, whatever is in it.
    assert text.endswith('] said "a]\\" more')


def test_what_a_function_is_called_can_not_end_its_field() -> None:
    message = senders._syslog(Line(1, "text", "stdout", app_name='a"]\\\n'), "host").decode()
    assert 'app_name="a\\"\\]\\\\?"' in message


class Slow:
    """Fails until it is let; counts what it gets."""

    def __init__(self) -> None:
        self.works = threading.Event()
        self.got: list[Line] = []

    def send(self, lines: Sequence[Line]) -> None:
        if not self.works.is_set():
            raise OSError("nobody answers")
        self.got += lines

    def close(self) -> None:
        pass


def test_while_nobody_takes_them_lines_are_bounded_counted_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(forwarder_module, "MAX_LINES", 100)
    monkeypatch.setattr(forwarder_module, "AGAIN_S", 0.01)
    monkeypatch.setattr(forwarder_module, "MOST_AGAIN_S", 0.01)
    monkeypatch.setattr(forwarder_module, "BATCH_LINES", 10)
    sender = Slow()
    way = Way("syslog", sender)
    way.begin()
    lines = [Line(number, f"line {number}", "stdout") for number in range(500)]
    began = time.perf_counter()
    for line in lines:
        way.put([line])
    assert time.perf_counter() - began < 1.0
    wait_until(lambda: "could not be sent by syslog: nobody answers" in caplog.text, "that it fails is told")
    dropped = way.num_dropped
    assert 380 <= dropped <= 400
    sender.works.set()
    wait_until(lambda: way.num_sent + dropped == 500, "what waited was sent")
    # In order, and none twice.
    assert sender.got == lines[: len(sender.got)]
    way.close()
    assert f"{dropped} were dropped" in caplog.text


class Scripted(Slow):
    """Fails as it is told, one error a call, and takes no more than `most` lines at once."""

    def __init__(self, *errors: Exception, most: int = 1000) -> None:
        super().__init__()
        self.errors = list(errors)
        self.most = most

    def send(self, lines: Sequence[Line]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        if len(lines) > self.most:
            raise Refused("it answered with 413", too_large=True)
        self.got += lines


@pytest.mark.parametrize("error", [Refused("it answered with 400"), ValueError("nobody thought of it")])
def test_lines_that_are_never_taken_are_dropped_and_the_next_ones_are_sent(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Scripted(error)
    way = Way("otlp", sender)
    way.begin()
    way.put([Line(1, "poison", "stdout")] * 3)
    wait_until(lambda: way.num_dropped == 3, "they are dropped")
    way.put([Line(1, "next", "stdout")])
    wait_until(lambda: way.num_sent == 1, "the next line is sent")
    way.close()
    assert [line.text for line in sender.got] == ["next"]
    assert str(error) in caplog.text
    assert "3 were dropped" in caplog.text


@pytest.mark.parametrize(("most", "num_sent"), [(5, 10), (4, 0)])
def test_what_is_too_large_is_halved_once(most: int, num_sent: int) -> None:
    sender = Scripted(most=most)
    way = Way("otlp", sender)
    lines = [Line(number, "text", "stdout") for number in range(10)]
    way.put(lines)
    way.begin()
    wait_until(lambda: way.num_sent + way.num_dropped == 10, "all are sent or dropped")
    way.close()
    assert sender.got == lines[:num_sent]


@pytest.mark.parametrize(
    ("code", "again"), [(400, False), (413, False), (403, False), (408, True), (429, True), (503, True)]
)
def test_which_answers_are_worth_another_try(code: int, again: bool, receiver: tuple[str, type[Receiver]]) -> None:
    url, kind = receiver
    kind.answer = code
    with pytest.raises(OSError if again else Refused, match=f"it answered with {code}") as caught:
        senders.OtlpSender(url, []).send([Line(1, "text", "stdout")])
    assert getattr(caught.value, "too_large", False) == (code == 413)


@pytest.mark.parametrize("answer", [b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz"])
def test_a_receiver_that_answers_garbage_is_tried_again(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                body = b""
                while b"}]}]}]}" not in body:
                    body += connection.recv(1 << 16)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(OSError, match="not HTTP"):
            senders.OtlpSender(f"http://127.0.0.1:{listener.getsockname()[1]}", []).send([Line(1, "text", "stdout")])
        serving.join()


def test_times_are_bounded_on_each_way(tmp_path: Path) -> None:
    assert senders._record(Line((1 << 47) - 1, "text", "stdout"))["timeUnixNano"] == str((1 << 64) - 1)
    assert senders._record(Line(-1, "text", "stdout"))["timeUnixNano"] == "0"
    assert b" 9999-12-31T" in senders._syslog(Line(1 << 60, "text", "stdout"), "host")


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines"
    sender = senders.FileSender(path)
    sender.send([Line(1, "first", "stdout")])

    def full(file: senders._Rotating) -> None:
        assert file.stream is not None
        file.stream.flush()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(senders._Rotating, "end_batch", full)
        with pytest.raises(OSError, match="No space left"):
            sender.send([Line(1, "second", "stdout")])
    sender.send([Line(1, "second", "stdout")])
    sender.close()
    assert [json.loads(line)["text"] for line in path.read_text().splitlines()] == ["first", "second"]


def test_a_datagram_that_does_not_fit_is_cut_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "DATAGRAM_BYTES", 1 << 20)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        sender = senders.SyslogSender(f"udp://127.0.0.1:{listener.getsockname()[1]}")
        sender.send([Line(1, "x" * 100_000, "stdout"), Line(1, "next", "stdout")])
        sender.close()
        assert len(listener.recv(1 << 16)) == senders.LEAST_DATAGRAM_BYTES
        assert listener.recv(1 << 16).endswith(b" next")


def test_what_waits_at_the_end_gets_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder_module, "CLOSE_WITHIN_S", 5.0)
    sender = Slow()
    way = Way("file", sender)
    way.begin()
    way.put([Line(1, "last", "stdout")] * 3)
    sender.works.set()
    way.close()
    assert len(sender.got) == 3
    # Nobody answers: then it ends all the same, and says what is lost.
    deaf = Way("file", Slow())
    deaf.begin()
    deaf.put([Line(1, "last", "stdout")] * 3)
    deaf.close()
    assert (deaf.num_sent, deaf.num_dropped) == (0, 3)


def test_bytes_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder_module, "MAX_BYTES", 10_000)
    way = Way("file", Slow())
    way.put([Line(1, "x" * 4000, "stdout")] * 3)
    assert way.num_dropped == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("FORWARD", "carrier-pigeon"),
        ("FORWARD_OTLP", "collector:4318"),
        ("FORWARD_OTLP", "http://[bad"),
        ("FORWARD_SYSLOG", "logs.example.com"),
        ("FORWARD_SYSLOG", "unix://"),
        ("FORWARD_FILE", "lines.jsonl"),
        ("FORWARD_HEADERS", "token"),
    ],
)
def test_nonsense_is_told_with_its_name(name: str, text: str) -> None:
    environ = {"WHERRY_LOGS_FORWARD": "otlp,syslog,file", "WHERRY_LOGS_FORWARD_FILE": "/a", f"WHERRY_LOGS_{name}": text}
    with pytest.raises(SettingsError, match=f"^WHERRY_LOGS_{name} ") as caught:
        ForwardSettings.from_environment(environ)
    # The value of a header may be a secret.
    assert name != "FORWARD_HEADERS" or text not in str(caught.value)


def test_off_is_nothing() -> None:
    made = forwarding()
    assert made.ways == []
    made.on_batch(BATCH)
