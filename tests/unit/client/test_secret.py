"""Secrets as they are written: what they hold, what they refuse, what they never show."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.service import FakeService
from wherry import App, Secret
from wherry._connection.client import Client
from wherry.exception import DeprecationError, ExecutionError, InvalidError
from wherry_proto.messages import SecretCreateRequest, SecretInfo, SecretLookupRequest

IDS = [f"st-{number:026}" for number in range(10)]


class WithSecrets(FakeService):
    """Also keeps secrets."""

    def __init__(self) -> None:
        super().__init__()
        self.created: list[SecretCreateRequest] = []
        self.looked_up: list[SecretLookupRequest] = []

    def _secrets_create(self, request: SecretCreateRequest) -> SecretInfo:
        self.created.append(request)
        return SecretInfo(secret_id=IDS[len(self.created)], keys=list(request.values))

    def _secrets_lookup(self, request: SecretLookupRequest) -> SecretInfo:
        self.looked_up.append(request)
        return SecretInfo(secret_id=IDS[0], name=request.name)


@pytest.fixture
def service() -> WithSecrets:
    return WithSecrets()


def f() -> None:
    pass


def publish(service: WithSecrets, client: Client, app: App, **options: Any) -> list[str]:
    """Run an app with one function; return its secrets."""
    app.function(serialized=True, **options)(f)
    with app.run(client=client):
        (spec,) = service.specs.values()
        return spec.secret_ids


def test_those_of_the_app_come_first_and_each_is_asked_for_once(service: WithSecrets, client: Client) -> None:
    named, inline = Secret.from_name("api", required_keys=["TOKEN"]), Secret.from_dict({"A": "1", "B": None})

    ids = publish(service, client, App("x", secrets=[named, inline]), secrets=[Secret.from_dict({"A": "2"}), named])

    assert ids == [IDS[0], IDS[1], IDS[2], IDS[0]]
    assert [request.values for request in service.created] == [{"A": "1"}, {"A": "2"}]
    (lookup,) = service.looked_up
    # In the app's environment, whatever that is.
    assert (lookup.name, lookup.environment, lookup.app_id) == ("api", "", "ap-1")
    assert lookup.required_keys == ["TOKEN"]


def test_a_secret_of_another_environment_is_looked_for_there(service: WithSecrets, client: Client) -> None:
    publish(service, client, App("x"), secrets=[Secret.from_name("api", environment_name="other")])
    assert service.looked_up[0].environment == "other"


def test_the_old_name_works_with_a_warning_alone_and_beside_the_new(service: WithSecrets, client: Client) -> None:
    one, two = Secret.from_dict({"A": "1"}), Secret.from_dict({"B": "1"})
    with pytest.warns(DeprecationError, match="secret is now called secrets"):
        ids = publish(service, client, App("x"), secret=one, secrets=[two])
    assert ids == [IDS[1], IDS[2]]


def test_a_variant_has_others(service: WithSecrets, client: Client, running: Callable[..., Any]) -> None:
    function = running(f)
    variant = function.with_options(secrets=[Secret.from_dict({"A": "1"})])
    variant.remote()
    request = next(request for method, request in service.requests if method == "Functions.Bind")
    assert isinstance(request.changes.secret_ids, list)  # type: ignore[attr-defined]
    assert request.fields == ["secret_ids"]  # type: ignore[attr-defined]
    assert request.changes.secret_ids == [IDS[1]]  # type: ignore[attr-defined]


def test_b65_nothing_that_shows_or_pickles_a_secret_shows_its_values(client: Client, service: WithSecrets) -> None:
    secret = Secret(values={"TOKEN": "hidden"}, client=client)
    assert repr(secret) == "Secret.from_dict({'TOKEN': …})"
    data = pickle.dumps(secret)
    assert b"hidden" not in data
    assert pickle.loads(data).object_id == IDS[1]
    named = pickle.loads(pickle.dumps(Secret.from_name("api", required_keys=["A"])))
    assert (named.name, named.object_id, named._required) == ("api", None, ("A",))
    with pytest.raises(InvalidError) as caught:
        App("x", secrets=[{"TOKEN": "hidden"}])  # type: ignore[list-item]
    assert "hidden" not in str(caught.value)
    assert "secrets is a list of dict: it takes secrets, as in secrets=[wherry.Secret.from_name" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Secret.from_dict({"A": 1}), "'A' is an int: names and values must be strings"),
        (lambda: Secret.from_dict("A=1"), "Secret.from_dict got str"),
        (lambda: Secret.from_local_environ("PATH"), r"write \['PATH'\]"),
        (lambda: Secret.from_local_environ(["PATH", "NO_SUCH_VARIABLE"]), "NO_SUCH_VARIABLE is not set"),
        (lambda: Secret.from_name(""), "got ''"),
        (lambda: Secret.from_id("di-1"), "not the id of a secret"),
        (lambda: App("x").function(secrets="api"), "secrets is a str"),
        (lambda: App("x").function(secrets=Secret), "secrets is a type"),
    ],
)
def test_what_is_no_secret_is_refused_where_it_is_written(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        make()


def test_a_dotenv_file_is_found_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("A=1\nB='two words'\n# no\nexport C=three\nEMPTY=\nNONE\n")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "prod.env").write_text("A=9\n")
    (tmp_path / "inner" / "module.py").write_text("")
    expected = {"A": "1", "B": "two words", "C": "three", "EMPTY": ""}
    assert Secret.from_dotenv(tmp_path / "inner")._values == expected
    assert Secret.from_dotenv(tmp_path / "inner" / "module.py")._values == expected
    assert Secret.from_dotenv(tmp_path / ".env")._values == expected
    assert Secret.from_dotenv(tmp_path / "inner", filename="prod.env")._values == {"A": "9"}
    monkeypatch.chdir(tmp_path / "inner")
    assert Secret.from_dotenv()._values == expected
    with pytest.raises(InvalidError, match=r"there is no no\.env in .* nor above it"):
        Secret.from_dotenv(filename="no.env")
    with pytest.raises(InvalidError, match="does not exist"):
        Secret.from_dotenv(tmp_path / "nowhere")


def test_inside_a_container_a_secret_of_local_values_is_empty_and_none_can_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("secret", "context"):
        monkeypatch.setattr(f"wherry.{module}.is_local", lambda: False)
    # The module that defines the app is imported there again.
    assert Secret.from_local_environ(["NO_SUCH_VARIABLE"])._values == {}
    assert Secret.from_dotenv("/nowhere")._values == {}
    with pytest.raises(ExecutionError, match="not possible inside a container"):
        Secret.from_name("api").hydrate()
