"""Where web endpoints answer: labels, hosts and paths, and which function is behind each."""

import hashlib
import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wherry_proto.messages import FunctionSpec, ParameterSpec, WebSpec
from wherry_service.apps.plans import webs_of
from wherry_service.errors import AlreadyExists, InvalidRequest

MAX_LABEL = 63
_HASH = 6
_OTHER = re.compile(r"[^a-z0-9]+")
# With a dot in it, and no address: its last part has a letter.
_DOMAIN = re.compile(r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]*[a-z][a-z0-9-]*\Z")


@dataclass(frozen=True, slots=True)
class Site:
    """How this service is reached from outside."""

    workspace: str = "wherry"
    # Endpoints answer at <workspace>--<label>.<domain>.
    domain: str = "localhost"
    scheme: str = "http"
    # As it is part of the URLs; 0: the scheme's own.
    port: int = 0

    @property
    def origin(self) -> str:
        """Where endpoints are reached by path."""
        return f"{self.scheme}://{self.domain}{self._port}"

    @property
    def own_host(self) -> str:
        """The host at which the service itself answers: no endpoint's, and no other program's of this machine."""
        return f"{self.workspace}.localhost" if self.domain == "localhost" else self.domain

    @property
    def own_origin(self) -> str:
        """Where the service itself answers."""
        return f"{self.scheme}://{self.own_host}{self._port}"

    def name(self, environment: str, label: str) -> str:
        """Return the first part of an endpoint's host, which is also its path: at most 63 characters."""
        prefix = self.workspace if environment == "main" else f"{self.workspace}-{label_of(environment)}"
        return cut(f"{prefix}--{label}")

    def url(self, endpoint: "Endpoint") -> str:
        """Return where an endpoint answers: its own domain, if it has one, else the host with its label."""
        for domain in endpoint.domains:
            if self.can_be_anyones(domain):
                return f"{self.scheme}://{domain}{self._port}"
        name = self.name(endpoint.environment, endpoint.label)
        if _is_address(self.domain):
            # No resolver knows a name below an address: by path.
            return f"{self.origin}/{name}"
        return f"{self.scheme}://{name}.{self.domain}{self._port}"

    def can_be_anyones(self, domain: str) -> bool:
        """Whether a host can be an endpoint's own domain: at this service's own hosts all endpoints answer."""
        if not _DOMAIN.match(domain) or domain == self.domain or domain.endswith(".localhost") or self.is_own(domain):
            return False
        return not (domain.endswith(f".{self.domain}") and "--" in domain.partition(".")[0])

    @property
    def has_hosts(self) -> bool:
        """Whether other machines can resolve hosts below the domain."""
        return self.domain != "localhost" and not _is_address(self.domain)

    def is_own(self, host: str) -> bool:
        """Whether a host is the one that the service itself answers at."""
        name, _, rest = host.partition(".")
        return name == self.workspace and rest in (self.domain, "localhost")

    @property
    def own(self) -> str:
        """The origin at which the service itself answers; "" where no name leads here."""
        return "" if _is_address(self.domain) else self.at(self.workspace)

    def at(self, name: str) -> str:
        """Return the URL of a host below this service's domain."""
        return f"{self.scheme}://{name}.{self.domain}{self._port}"

    @property
    def _port(self) -> str:
        usual = {"http": 80, "https": 443}.get(self.scheme)
        return f":{self.port}" if self.port and self.port != usual else ""


def _is_address(domain: str) -> bool:
    try:
        ipaddress.ip_address(domain)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A function, or a method of a class, that answers requests."""

    app_id: str
    app_name: str
    environment: str
    function_id: str
    # "work", or "Class.method".
    name: str
    # Of a class.
    method: str
    label: str
    domains: tuple[str, ...]
    web: WebSpec
    # Of a class: what a request's query says of the object that answers it.
    parameters: tuple[ParameterSpec, ...] = ()

    def __str__(self) -> str:
        return f"{self.name!r} of app {self.app_name!r} ({self.app_id})"


def label_of(text: str) -> str:
    """Return what is written like `text` in [a-z0-9-]{1,63}, no dash at either end, not digits alone."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()
    label = _OTHER.sub("-", plain.lower()).strip("-")
    if not label:
        label = f"x-{_digest(text)}"
    if label.isdigit():
        label = f"x-{label}"
    return cut(label)


def cut(label: str) -> str:
    """Return a label of at most 63 characters; of a longer one the beginning, and a hash of all of it."""
    if len(label) <= MAX_LABEL:
        return label
    return f"{label[: MAX_LABEL - _HASH - 1].rstrip('-')}-{_digest(label)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]


def endpoints_of(
    app_id: str, app_name: str, environment: str, functions: Iterable[tuple[str, FunctionSpec]], suffix: str
) -> list[Endpoint]:
    """Return the endpoints of an app's functions; raise `AlreadyExists` where two of them claim the same."""
    found: list[Endpoint] = []
    for function_id, spec in functions:
        for method, web in webs_of(spec).items():
            name = f"{spec.name}.{method}" if method else spec.name
            label = cut(label_of(web.label or f"{app_name}-{name}") + suffix)
            domains = tuple(domain.lower() for domain in web.custom_domains)
            parameters = tuple(spec.class_parameters)
            endpoint = Endpoint(
                app_id, app_name, environment, function_id, name, method, label, domains, web, parameters
            )
            for other in found:
                _check_apart(endpoint, other)
            found.append(endpoint)
    return found


def _check_apart(endpoint: Endpoint, other: Endpoint) -> None:
    if endpoint.label == other.label and endpoint.environment == other.environment:
        raise AlreadyExists(f"{endpoint} and {other} both claim the label {endpoint.label!r}: give one another label=")
    if both := set(endpoint.domains) & set(other.domains):
        raise AlreadyExists(f"{endpoint} and {other} both claim the domain {sorted(both)[0]!r}: take it from one")


class Endpoints:
    """All endpoints of the running apps, by label and by domain."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._of_app: dict[str, Sequence[Endpoint]] = {}
        self._by_name: dict[str, Endpoint] = {}
        self._by_domain: dict[str, Endpoint] = {}
        self._urls: dict[tuple[str, str], str] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def check(self, endpoints: Sequence[Endpoint]) -> None:
        """Raise `AlreadyExists` if another app has what these claim, `InvalidRequest` for what no app can have.

        An app of the same name gives way: it is an earlier run of the same one, whose end was not heard of yet.
        """
        for endpoint in endpoints:
            for domain in endpoint.domains:
                if not self.site.can_be_anyones(domain):
                    raise InvalidRequest(
                        f"{endpoint} claims the domain {domain[:255]!r}: give it a host name of its own, such as "
                        "shop.example.com; addresses, localhost and the hosts of this service's URLs can't be claimed"
                    )
            for others in self._of_app.values():
                for other in others:
                    if other.app_id != endpoint.app_id and not _is_earlier(other, endpoint):
                        _check_apart(endpoint, other)

    def claim(self, app_id: str, endpoints: Sequence[Endpoint]) -> None:
        """Have an app answer at these, and at no others."""
        self._of_app.pop(app_id, None)
        if endpoints:
            # Last: of two apps of one name the later answers.
            self._of_app[app_id] = endpoints
        self._index()

    def set_site(self, site: Site) -> None:
        """Have all endpoints answer as that says."""
        self.site = site
        self._index()

    def _index(self) -> None:
        self._by_name, self._by_domain, self._urls = {}, {}, {}
        for endpoints in self._of_app.values():
            for endpoint in endpoints:
                self._by_name[self.site.name(endpoint.environment, endpoint.label)] = endpoint
                for domain in endpoint.domains:
                    # An earlier version took any, and this site may have had another name then.
                    if self.site.can_be_anyones(domain):
                        self._by_domain[domain] = endpoint
                self._urls[endpoint.function_id, endpoint.method] = self.site.url(endpoint)

    def url(self, function_id: str, method: str = "") -> str:
        """Return where a function, or a method of a class, answers; "" if it does not."""
        return self._urls.get((function_id, method), "")

    def find(self, host: str, path: str) -> tuple[Endpoint, str] | None:
        """Return who answers at a host (without port) and path, and the part of the path that led there."""
        if (own := self._by_domain.get(host)) is not None:
            return own, ""
        first, _, rest = host.partition(".")
        if rest and (found := self._by_name.get(first)) is not None and rest in (self.site.domain, "localhost"):
            return found, ""
        if "--" in first and rest:
            return None
        name = path[1:].partition("/")[0]
        by_path = self._by_name.get(name)
        return (by_path, f"/{name}") if by_path is not None else None

    def knows(self, host: str) -> bool:
        """Whether something answers at that host: for who makes certificates."""
        first, _, rest = host.partition(".")
        return (
            host in self._by_domain
            or host == self.site.domain
            or (rest == self.site.domain and (first in self._by_name or first == self.site.workspace))
        )


def _is_earlier(other: Endpoint, endpoint: Endpoint) -> bool:
    return other.app_name == endpoint.app_name and other.environment == endpoint.environment
