"""How registries are logged in to."""

import base64
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from wherry_service.errors import InvalidRequest
from wherry_service.images.registry import _hint, _login, host_of


def test_amazon_is_asked_for_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def client(name: str, **options: Any) -> Any:
        asked.update(options, name=name)
        token = base64.b64encode(b"AWS:its-password").decode()
        answer = {"authorizationData": [{"authorizationToken": token}]}
        return SimpleNamespace(get_authorization_token=lambda: answer)

    monkeypatch.setitem(sys.modules, "boto3", SimpleNamespace(client=client))
    secrets = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_REGION": "eu-west-1"}
    assert _login("aws", secrets) == ("AWS", "its-password")
    assert (asked["name"], asked["aws_access_key_id"], asked["region_name"]) == ("ecr", "id", "eu-west-1")
    with pytest.raises(InvalidRequest, match="has no AWS_SECRET_ACCESS_KEY; it has AWS_ACCESS_KEY_ID"):
        _login("aws", {"AWS_ACCESS_KEY_ID": "id"})


def test_without_boto3_amazon_can_not_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(InvalidRequest, match="pip install boto3"):
        _login("aws", {"AWS_ACCESS_KEY_ID": "id"})


@pytest.mark.parametrize(
    ("reference", "host"),
    [("python:3.12", ""), ("theirs/own", ""), ("localhost/own", "localhost"), ("a.example:5000/b/c", "a.example:5000")],
)
def test_the_registry_of_a_reference(reference: str, host: str) -> None:
    assert host_of(reference) == host


@pytest.mark.parametrize(
    ("told", "with_secret", "hint"),
    [
        ("dial tcp: connection refused", False, "its registry can't be reached"),
        ("no basic auth credentials", False, "give secret= with its credentials"),
        ("status: 401 Unauthorized", True, "its secret is not accepted"),
        ("manifest unknown", False, "manifest unknown"),
    ],
)
def test_what_went_wrong_says_what_to_do(told: str, with_secret: bool, hint: str) -> None:
    assert hint in _hint(told, with_secret)
