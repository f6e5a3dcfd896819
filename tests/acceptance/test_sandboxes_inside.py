"""Sandboxes that functions make: they are the app's, and have no right that the function lacks."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import wherry
from tests.acceptance.apps import sandboxes_inside as inside
from tests.acceptance.service import OwnService
from tests.waiting import wait_until
from wherry.exception import ImageBuildError, NotFoundError, PermissionDeniedError


@pytest.fixture(scope="module")
def app(service: OwnService) -> Iterator[wherry.App]:
    with inside.app.run():
        yield inside.app


def test_a_function_makes_one_and_uses_all_of_it(app: wherry.App) -> None:
    found = inside.everything.remote("import os; print(6 * 7, os.environ.get('OWN'))")
    assert found == {
        # The app's own secrets are in its sandboxes, as outside.
        "printed": "42 s1\n",
        "code": 0,
        "exec": ["typed\ninside\n", 3],
        "listed": True,
        "named": True,
        "snapshot": b"kept",
    }


def test_a_tunnels_url_is_opened_in_functions_and_here(app: wherry.App) -> None:
    with wherry.Queue.ephemeral() as done:
        call = inside.serve_and_ask.spawn(done)
        url, asked, by_token = done.get(timeout=60)
        assert (asked, by_token) == ("there", "there")
        # Another container was told nothing but the URL; neither was this process.
        assert inside.ask_there.remote(url) == "there"
        assert inside.ask(url) == "there"
        assert inside.ask_without_network.remote(url) == "404"
        done.put("over", partition="over")
        call.get()


def test_they_are_the_apps_and_end_with_it(service: OwnService) -> None:
    app = wherry.App("makes-one", image=wherry.Image.debian_slim())

    @app.function(serialized=True, timeout=60)
    def leave() -> str:
        import wherry

        return wherry.Sandbox.create("sleep", "600", timeout=600).object_id

    with app.run():
        sandbox_id = leave.remote()
        row = next(row for row in _listed() if row["sandbox_id"] == sandbox_id)
        assert row["app_id"] == app.app_id
        assert wherry.Sandbox.from_id(sandbox_id).poll() is None
    wait_until(lambda: wherry.Sandbox.from_id(sandbox_id).poll() == 137, "the sandbox ended with its app")


def test_who_has_no_network_gets_none_by_a_sandbox(app: wherry.App) -> None:
    assert inside.without_network.remote(True).split() == ["lo"]
    with pytest.raises(PermissionDeniedError, match="the function that asks has block_network=True"):
        inside.without_network.remote(False)
    # Nor by one that is there already, made by who has a network.
    refused = pytest.raises(PermissionDeniedError, match="the function that asks has block_network=True")
    with wherry.Sandbox.create(app=app, timeout=60) as sandbox, refused:
        inside.by_way_of.remote(sandbox.object_id)


def test_a_sandbox_with_more_than_its_app_has_is_not_for_its_functions(app: wherry.App) -> None:
    with wherry.Sandbox.create(app=app, timeout=60) as plain:
        assert inside.read_variable.remote(plain, "OWN") == "s1"
    theirs = wherry.Secret.from_dict({"KEY": "the developer's"})
    refused: Any = pytest.raises(PermissionDeniedError, match="a secret that none of the app's functions has")
    with wherry.Sandbox.create(app=app, secrets=[theirs], timeout=60) as richer, refused:
        inside.read_variable.remote(richer, "KEY")
    refused = pytest.raises(NotFoundError, match="does not exist in this container's app")
    with wherry.Sandbox.create(timeout=60, image=wherry.Image.debian_slim()) as nobodys, refused:
        inside.read_variable.remote(nobodys, "PATH")


def test_no_image_is_built_and_no_other_secret_is_given(app: wherry.App) -> None:
    with pytest.raises(ImageBuildError, match="code inside a container builds no images"):
        inside.build.remote()
    wherry.Secret.create_deployed("admins", {"KEY": "admin"})
    with pytest.raises(NotFoundError, match="'admins' does not exist in this container's environment"):
        inside.take.remote("admins")


def _listed() -> list[dict[str, str]]:
    ran = subprocess.run(
        [sys.executable, "-m", "wherry.cli.main", "sandbox", "list", "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    rows: list[dict[str, str]] = json.loads(ran.stdout)
    return rows
