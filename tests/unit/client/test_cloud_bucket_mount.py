"""Buckets as they are written: what they refuse, and how containers are to have them."""

from typing import Any

import pytest

from tests.fakes.service import FakeService
from wherry import App, CloudBucketMount, Image, Sandbox, Secret, Volume
from wherry._connection.client import Client
from wherry._define.places import placed
from wherry._publish.needs import Needs, make_ready
from wherry._publish.resolver import Resolver
from wherry.exception import InvalidError
from wherry_proto.messages import BucketMount, SecretInfo, SecretLookupRequest

SECRET_ID = f"st-{0:026}"


class WithSecrets(FakeService):
    """Also knows every secret."""

    def _secrets_lookup(self, request: SecretLookupRequest) -> SecretInfo:
        return SecretInfo(secret_id=SECRET_ID, name=request.name)


@pytest.fixture
def service() -> WithSecrets:
    return WithSecrets()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bucket_name": ""}, ["''", "letters, digits"]),
        ({"bucket_name": 5}, ["5", "string"]),
        ({"bucket_name": "a/b"}, ["'a/b'", "key_prefix="]),
        ({"bucket_endpoint_url": "minio:9000"}, ["bucket_endpoint_url", "https://HOST:PORT"]),
        ({"bucket_endpoint_url": "https://me:pass@host"}, ["bucket_endpoint_url"]),
        ({"key_prefix": "data"}, ["'data'", 'must end with "/"']),
        ({"key_prefix": "/data/"}, ["'/data/'", "in front"]),
        ({"key_prefix": "a/../b/"}, ["'a/../b/'", "'..'"]),
        ({"key_prefix": "/"}, ["'/'"]),
        ({"secret": {"AWS_SECRET_ACCESS_KEY": "abc"}}, ["dict", "wherry.Secret"]),
        ({"requester_pays": True}, ["requester_pays", "secret"]),
        ({"oidc_auth_role_arn": "arn:aws:iam::1"}, ["oidc_auth_role_arn", "secret"]),
    ],
)
def test_what_can_not_be_is_refused_where_it_is_written(given: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(InvalidError) as caught:
        CloudBucketMount(**{"bucket_name": "abc", **given})
    for part in said:
        assert part in str(caught.value)
    assert "pass" not in str(caught.value) or "requester_pays" in str(caught.value)


def test_volumes_and_buckets_go_to_containers_each_as_what_they_are(client: Client) -> None:
    volume = Volume.from_id(f"vo-{0:026}")
    secret = Secret.from_name("aws")
    wanted = placed(
        "volumes",
        {
            "/data": volume,
            "/public/": CloudBucketMount("abc"),
            "/mine": CloudBucketMount("abc", "https://host:9000", "part/", secret, read_only=True, requester_pays=True),
        },
    )
    (ready,) = make_ready(Resolver(client, environment="main"), [Needs(None, volumes=wanted)])
    assert [mount.path for mount in ready.volumes] == ["/data"]
    assert ready.bucket_mounts == [
        BucketMount(path="/public", bucket="abc"),
        BucketMount(
            path="/mine",
            bucket="abc",
            endpoint_url="https://host:9000",
            key_prefix="part/",
            secret_id=SECRET_ID,
            read_only=True,
            requester_pays=True,
        ),
    ]


def test_an_images_function_has_no_buckets() -> None:
    def step() -> None:
        pass

    with pytest.raises(InvalidError, match=r"run_function\(step\) has CloudBucketMount\('abc'\) at /b: buckets are"):
        Image.debian_slim().run_function(step, volumes={"/b": CloudBucketMount("abc")})


def test_a_sandbox_refuses_two_things_at_one_place(client: Client) -> None:
    volumes = {"/b": CloudBucketMount("abc"), "/b/": CloudBucketMount("def")}
    with pytest.raises(InvalidError, match="volumes has two volumes at /b"):
        Sandbox.create(volumes=volumes, image=Image.from_id("im-" + "a" * 26), client=client)


def test_a_function_has_its_apps_buckets() -> None:
    app = App("x", volumes={"/b": CloudBucketMount("abc")})
    assert [place for place, _ in app.__wherry_owner__.volumes] == ["/b"]


def test_parameters_have_the_places_of_the_reference() -> None:
    mount = CloudBucketMount("abc", None, "data/", None, None, True)
    assert (mount.key_prefix, mount.read_only) == ("data/", True)
    with pytest.raises(InvalidError, match="no identity for oidc_auth_role_arn"):
        CloudBucketMount("abc", None, None, None, "arn:aws:iam::1:role/x")
