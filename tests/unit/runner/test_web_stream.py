"""What an app says of its response, made fit to be sent."""

import json

import pytest

from wherry_runner.web_stream import HEAD_BYTES, sendable, whole


def test_headers_that_no_frame_holds_are_left_out_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    head = sendable({"k": "start", "status": 200, "headers": [["x", "y" * (2 << 20)]]})
    assert (head["status"], head["headers"]) == (200, [])
    assert head["fault"] == f"headers of {(2 << 20) + 5} bytes, at most {HEAD_BYTES} can be sent"
    assert "a response of the app has headers of 2097157 bytes" in capsys.readouterr().err


@pytest.mark.parametrize("character", ["a", "\x01", "\xff", '"'])
def test_the_largest_response_in_one_piece_fits_a_payload(character: str) -> None:
    data = whole(200, [["x", character * (HEAD_BYTES - 5)]], b"b" * (512 << 10))
    assert len(data) <= 1 << 20
    size = int.from_bytes(data[:4], "big")
    assert json.loads(data[4 : 4 + size])["headers"][0][1] == character * (HEAD_BYTES - 5)


@pytest.mark.parametrize("value", [10**400, -1, "200", None, 1.5])
def test_numbers_that_are_none_of_http_are_replaced(value: object) -> None:
    assert sendable({"k": "start", "status": value, "headers": []})["status"] == 0
    assert sendable({"k": "close", "code": value, "reason": ""})["code"] == 1011


def test_a_close_is_short() -> None:
    head = sendable({"k": "close", "code": 1000, "reason": "r" * (2 << 20)})
    assert (head["code"], len(head["reason"])) == (1000, 1024)
    assert sendable({"k": "accept", "subprotocol": None, "headers": []})["subprotocol"] is None
