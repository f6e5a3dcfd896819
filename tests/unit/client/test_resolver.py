"""The resolver: what is wanted comes up stage by stage, each thing once."""

from typing import Any

import pytest

from wherry._connection.client import Client
from wherry._publish.resolver import Resolver, Want
from wherry.exception import NotFoundError


class Thing(Want[str]):
    """Notes that it was brought up, in `log`."""

    def __init__(self, name: str, log: list[str], *needed: Want[Any]) -> None:
        super().__init__(name)
        self.name = name
        self.log = log
        self.needed = needed

    def bring_up(self, resolver: Resolver) -> str:
        found = resolver.all_of(self.needed)
        self.log.append(self.name)
        return self.name + "".join(found)


class Late(Thing):
    STAGE = 2


class Early(Thing):
    STAGE = 1


class Missing(Late):
    def bring_up(self, resolver: Resolver) -> str:
        raise NotFoundError("no such thing")


@pytest.fixture
def resolver(client: Client) -> Resolver:
    return Resolver(client, app_id="ap-1")


def test_stages_come_in_their_order_and_what_is_of_one_as_it_is_wanted(resolver: Resolver) -> None:
    log: list[str] = []
    assert resolver.all_of([Late("b", log), Early("y", log), Late("a", log), Early("x", log)]) == ["b", "y", "a", "x"]
    assert log == ["y", "x", "b", "a"]


def test_each_is_brought_up_once_whoever_wants_it_and_when(resolver: Resolver) -> None:
    log: list[str] = []
    needed = Early("secret", log)
    resolver.resolve([Late("bucket", log, needed), Late("bucket", log), Late("other", log, Early("secret", log))])
    resolver.resolve([Late("bucket", log), Early("secret", log)])
    assert log == ["secret", "bucket", "other"]
    assert resolver[Late("bucket", [])] == "bucketsecret"
    # Of another kind, it is another thing.
    assert Early("bucket", log) != Late("bucket", log)


def test_what_is_known_already_is_not_asked_for(resolver: Resolver) -> None:
    log: list[str] = []
    resolver.note(Early("image", log), "im-1")
    assert resolver.all_of([Early("image", log), Late("volume", log)]) == ["im-1", "volume"]
    assert log == ["volume"]


def test_nothing_of_a_later_stage_follows_an_error(resolver: Resolver) -> None:
    log: list[str] = []

    class Last(Thing):
        STAGE = 3

    with pytest.raises(NotFoundError, match="no such thing"):
        resolver.resolve([Last("made", log), Missing("lost", log), Early("sent", log)])
    assert log == ["sent"]


def test_builds_are_in_the_same_environment_and_of_no_app(client: Client) -> None:
    for environment in ("", "stage"):
        builds = Resolver(client, app_id="ap-1", environment=environment, creates=False).for_builds()
        assert (builds.app_id, builds.environment) == ("", environment or client.environment)
        assert builds.creates
