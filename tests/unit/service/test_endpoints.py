"""Labels, URLs, and who answers where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry_proto.messages import FunctionSpec, MethodSpec, WebKind, WebSpec
from wherry_service.apps.endpoints import Endpoint, Endpoints, Site, cut, endpoints_of, label_of
from wherry_service.errors import AlreadyExists, InvalidRequest

ASGI = WebSpec(kind=WebKind.ASGI)


def of(app: str, *names: str, environment: str = "main", suffix: str = "", web: WebSpec = ASGI) -> list[Endpoint]:
    functions = [(f"fu-{app}-{name}", FunctionSpec(name=name, web=web)) for name in names]
    return endpoints_of(f"ap-{app}", app, environment, functions, suffix)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("hello", "hello"),
        ("My App-Some_Func", "my-app-some-func"),
        ("--a--b--", "a-b"),
        ("Größe", "grosse"),
        ("123", "x-123"),
        ("日本", "x-" + label_of("日本")[2:]),
    ],
)
def test_labels(text: str, label: str) -> None:
    assert label_of(text) == label


@given(st.text(min_size=1))
def test_every_text_has_a_label(text: str) -> None:
    label = label_of(text)
    assert 1 <= len(label) <= 63
    assert set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not label.startswith("-")
    assert not label.endswith("-")
    assert not label.isdigit()
    assert label_of(label) == label


def test_long_labels_are_cut_and_stay_apart() -> None:
    first, second = cut("a" * 70), cut("a" * 69 + "b")
    assert (len(first), len(second)) == (63, 63)
    assert first != second
    (endpoint,) = of("a" * 60, "f" * 60, suffix="-dev")
    host = Site(port=80).url(endpoint).removeprefix("http://")
    assert max(len(part) for part in host.split(".")) <= 63


def test_urls() -> None:
    (plain,), (dev,) = of("app", "f"), of("app", "f", environment="staging", suffix="-dev")
    site = Site(port=8720)
    assert site.url(plain) == "http://wherry--app-f.localhost:8720"
    assert site.url(dev) == "http://wherry-staging--app-f-dev.localhost:8720"
    outside = Site("team", "apps.example.com", "https", 443)
    assert outside.url(plain) == "https://team--app-f.apps.example.com"
    # No resolver knows names below an address.
    assert Site(domain="192.168.1.5", port=8720).url(dev) == "http://192.168.1.5:8720/wherry-staging--app-f-dev"
    (own,) = of("app", "f", web=WebSpec(kind=WebKind.ASGI, custom_domains=["Shop.example.com"]))
    assert outside.url(own) == "https://shop.example.com"


def test_requests_find_their_endpoint() -> None:
    endpoints = Endpoints(Site(port=8720))
    mine = of("app", "f", web=WebSpec(kind=WebKind.ASGI, custom_domains=["shop.example.com"]))
    endpoints.claim("ap-app", mine)
    assert endpoints.find("wherry--app-f.localhost", "/a") == (mine[0], "")
    assert endpoints.find("shop.example.com", "/a") == (mine[0], "")
    assert endpoints.find("127.0.0.1", "/wherry--app-f/a") == (mine[0], "/wherry--app-f")
    assert endpoints.find("localhost", "/wherry--app-f") == (mine[0], "/wherry--app-f")
    for host, path in (
        ("wherry--app-g.localhost", "/"),
        ("localhost", "/"),
        ("", "/"),
        ("wherry--app-f.evil.com", "/"),
    ):
        assert endpoints.find(host, path) is None
    assert endpoints.knows("shop.example.com")
    assert endpoints.knows("wherry--app-f.localhost")
    assert not endpoints.knows("evil.com")
    assert endpoints.url("fu-app-f") == "http://shop.example.com:8720"
    endpoints.claim("ap-app", [])
    assert endpoints.find("wherry--app-f.localhost", "/a") is None
    assert endpoints.url("fu-app-f") == ""


def test_one_label_has_one_owner() -> None:
    labelled = WebSpec(kind=WebKind.ASGI, label="same")
    with pytest.raises(AlreadyExists, match=r"'g' of app 'app'.*'f' of app 'app'.*'same'.*label="):
        of("app", "f", "g", web=labelled)
    endpoints = Endpoints(Site())
    endpoints.claim("ap-app", of("app", "f", web=labelled))
    with pytest.raises(AlreadyExists, match="'h' of app 'other'"):
        endpoints.check(of("other", "h", web=labelled))
    endpoints.check(of("other", "h", environment="staging", web=labelled))
    with pytest.raises(AlreadyExists, match=r"domain 'a\.example\.com'"):
        of("app", "f", "g", web=WebSpec(kind=WebKind.ASGI, custom_domains=["a.example.com"]))


@pytest.mark.parametrize(
    "domain",
    [
        "wherry--app-f.localhost",
        "WHERRY--app-f.localhost",
        "wherry--app-f.apps.example.com",
        "wherry-prod--nobodys-yet.apps.example.com",
        "shop.localhost",
        "localhost",
        "apps.example.com",
        "127.0.0.1",
        "1.2",
        "[::1]",
        "shop",
        "shop.example.com.",
        "shop.example.com:80",
        "a b.example.com",
        "",
        f"{'a' * 64}.example.com",
    ],
)
def test_the_hosts_of_all_endpoints_are_nobodys_own(domain: str) -> None:
    endpoints = Endpoints(Site(domain="apps.example.com"))
    endpoints.claim("ap-app", of("app", "f"))
    thief = of("thief", "f", environment="other", web=WebSpec(kind=WebKind.ASGI, custom_domains=[domain]))
    with pytest.raises(InvalidRequest, match="claims the domain"):
        endpoints.check(thief)
    # As it was published to an earlier version.
    endpoints.claim("ap-thief", thief)
    for host, path in (
        ("wherry--app-f.localhost", "/"),
        ("wherry--app-f.apps.example.com", "/"),
        ("127.0.0.1", "/wherry--app-f/"),
        ("localhost", "/wherry--app-f/"),
        ("apps.example.com", "/wherry--app-f/"),
    ):
        found = endpoints.find(host, path)
        assert found is not None
        assert found[0].app_id == "ap-app"
    assert endpoints.url("fu-thief-f") == "http://wherry-other--thief-f.apps.example.com"


@pytest.mark.parametrize(
    "domain", ["shop.example.com", "shop.apps.example.com", "a--b.example.com", "xn--bcher-kva.example"]
)
def test_any_other_host_can_be_claimed(domain: str) -> None:
    endpoints = Endpoints(Site(domain="apps.example.com"))
    mine = of("app", "f", web=WebSpec(kind=WebKind.ASGI, custom_domains=[domain]))
    endpoints.check(mine)
    endpoints.claim("ap-app", mine)
    assert endpoints.find(domain, "/") == (mine[0], "")


def test_the_later_run_of_an_app_answers_until_it_ends() -> None:
    endpoints = Endpoints(Site())
    first = of("app", "f", suffix="-dev")
    second = endpoints_of("ap-2", "app", "main", [("fu-2", FunctionSpec(name="f", web=ASGI))], "-dev")
    endpoints.claim("ap-app", first)
    endpoints.check(second)
    endpoints.claim("ap-2", second)
    assert endpoints.find("wherry--app-f-dev.localhost", "/") == (second[0], "")
    endpoints.claim("ap-2", [])
    assert endpoints.find("wherry--app-f-dev.localhost", "/") == (first[0], "")


def test_methods_of_a_class_have_their_own() -> None:
    spec = FunctionSpec(name="Site", methods=[MethodSpec(name="page", web=ASGI), MethodSpec(name="work")])
    (endpoint,) = endpoints_of("ap-1", "app", "main", [("fu-1", spec)], "")
    assert (endpoint.name, endpoint.method, endpoint.label) == ("Site.page", "page", "app-site-page")
