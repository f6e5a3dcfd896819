"""The HTTP API against real containers: what a program in any language sees."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import wherry
from tests.acceptance.conftest import RunApp
from tests.acceptance.service import OwnService
from wherry._connection.client import default_client
from wherry_proto.messages import TokenCreated, TokenCreateRequest


@pytest.fixture(scope="module")
def api(service: OwnService, run_app: RunApp) -> Iterator[httpx.Client]:
    from tests.acceptance.apps import http_api

    with run_app(http_api.app):
        request = TokenCreateRequest(name="http", scopes=["deploy", "invoke"], environments=["main"])
        made = default_client().call("Tokens.Create", request, TokenCreated)
        assert made.token is not None
        port = (service.state_dir / "http_port").read_text().strip()
        headers = {"authorization": f"Bearer {made.token.token_id}:{made.secret}", "host": f"wherry.localhost:{port}"}
        base = f"http://127.0.0.1:{port}/v1"
        with httpx.Client(base_url=base, headers=headers, timeout=30, trust_env=False) as client:
            yield client


def call(api: httpx.Client, name: str, *args: Any, how: str = "call", query: str = "", **body: Any) -> httpx.Response:
    return api.post(f"/functions/http-api/{name}/{how}{query}", json={"args": args, **body})


def test_calls_and_their_errors(api: httpx.Client) -> None:
    done = call(api, "add", 2, kwargs={"y": 3})
    assert done.status_code == 200, done.text
    assert done.json()["result"] == {"sum": 5, "raw": {"$bytes": base64.b64encode(b"hi").decode()}}

    raised = call(api, "fails", "raise")
    error = raised.json()["error"]
    assert (raised.status_code, error["code"], error["type"], error["message"]) == (
        500, "exception", "ValueError", "no such thing"
    )  # fmt: skip
    assert any('raise ValueError("no such thing")' in line for line in error["traceback"])

    set_ = call(api, "fails", "set")
    assert (set_.status_code, set_.json()["error"]["code"]) == (500, "serialization")
    assert "result['it'] is of type set" in set_.json()["error"]["message"]

    assert len(call(api, "fails", "large").json()["result"]) == 2 << 20
    assert call(api, "add", "x" * 1_000_000, kwargs={"y": 1}).json()["error"]["type"] == "TypeError"
    assert call(api, "add", 1, 2, 3).json()["error"]["type"] == "TypeError"

    late = call(api, "fails", "sleep", query="?wait=0.5")
    assert (late.status_code, late.json()["error"]["code"]) == (504, "wait")
    # It was cancelled: its container takes the next one.
    assert call(api, "fails", "raise").status_code == 500


def test_spawned_calls_are_asked_about_and_read_by_python(api: httpx.Client) -> None:
    begun = call(api, "add", 1, kwargs={"y": 1}, how="spawn")
    assert begun.status_code == 202, begun.text
    call_id = begun.json()["call_id"]
    shown = api.get(f"/calls/{call_id}?wait=20")
    assert (shown.status_code, shown.json()["state"], shown.json()["result"]["sum"]) == (200, "succeeded", 2)
    assert wherry.FunctionCall.from_id(call_id).get() == {"sum": 2, "raw": b"hi"}

    failed = api.get(f"/calls/{call(api, 'fails', 'raise', how='spawn').json()['call_id']}?wait=20").json()
    assert (failed["state"], failed["error"]["type"]) == ("failed", "ValueError")

    slow = call(api, "fails", "sleep", how="spawn").json()["call_id"]
    assert api.get(f"/calls/{slow}").status_code == 202
    assert api.post(f"/calls/{slow}/cancel").status_code == 202
    assert api.get(f"/calls/{slow}?wait=20").json()["state"] == "cancelled"

    pythons = wherry.Function.from_name("http-api", "add").spawn(1)
    pythons.get()
    assert api.get(f"/calls/{pythons.object_id}").json()["error"]["code"] == "not_json"


def test_generators_are_streams_of_lines_and_of_events(api: httpx.Client) -> None:
    lines = [json.loads(line) for line in call(api, "count", 2, how="stream").text.splitlines()]
    assert lines[:2] == [{"value": {"i": 0}}, {"value": {"i": 1}}]
    assert lines[2]["end"]["values"] == 2

    failing = [json.loads(line) for line in call(api, "count", 4, how="stream").text.splitlines()]
    assert (len(failing), failing[-1]["error"]["type"]) == (5, "KeyError")

    events = api.post(
        "/functions/http-api/count/stream", json={"args": [1]}, headers={"accept": "text/event-stream"}
    ).text
    assert events.startswith('event: value\nid: 0\ndata: {"value":{"i":0}}\n\nevent: end\n')

    call_id = call(api, "count", 3, how="spawn").json()["call_id"]
    values = [json.loads(line) for line in api.get(f"/calls/{call_id}/stream?after=0").text.splitlines()]
    assert [line.get("value") for line in values] == [{"i": 1}, {"i": 2}, None]
    assert [value["i"] for value in wherry.FunctionCall.from_id(call_id).iter()] == [0, 1, 2]


def test_methods_of_classes_with_parameters_are_the_objects_of_python(api: httpx.Client) -> None:
    assert call(api, "Greeter.hello").json()["result"] == "hello you!"
    twice = call(api, "Greeter.hello", "?", parameters={"name": "me", "times": 2}).json()
    assert twice.get("result") == "hello mehello me?", twice
    lines = call(api, "Greeter.letters", how="stream", parameters={"name": "ab"}).text.splitlines()
    assert [json.loads(line).get("value") for line in lines[:2]] == ["a", "b"]
    wrong = call(api, "Greeter.hello", parameters={"nam": 1})
    assert (wrong.status_code, "did you mean 'name'" in wrong.text) == (400, True)


def test_lists_and_logs(api: httpx.Client) -> None:
    call(api, "add", 1)
    assert "http-api" in {app["name"] for app in api.get("/apps").json()}
    names = {one["name"] for one in api.get("/functions?app=http-api").json()}
    assert {"add", "Greeter"} <= names
    assert api.get("/functions/http-api/add").json()["settings"]["max_inputs"] == 1
    assert any(record["function_name"] == "add" for record in api.get("/calls?app=http-api").json())
    lines = [json.loads(line) for line in api.get("/logs?app=http-api&search=adding").text.splitlines()]
    assert {line["text"] for line in lines} == {"adding"}
