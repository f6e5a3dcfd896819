"""How a class is defined that is a server: its hooks start what listens on a port, and it has no methods."""

from __future__ import annotations

from wherry._base.checks import DAY_S, number
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._classes.definition import ClassDefinition
from wherry._define.marks import concurrent_mark
from wherry._define.web_options import SERVER, WebOptions
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wherry._classes.blueprint import Blueprint
    from wherry._define.options import FunctionOptions

# Requests that a container takes at once, where it is not said.
MOST_REQUESTS = 1000
HOUR_S = 3600


class ServerOptions:
    """What `@app.server` was given beside what functions have. Raises InvalidError for values out of range."""

    __slots__ = ("max_concurrency", "scaleup_window", "target_concurrency", "web")

    def __init__(
        self,
        *,
        port: Any = 8000,
        startup_timeout: Any = 30,
        exit_grace_period: Any = 0,
        unauthenticated: bool = False,
        target_concurrency: Any = None,
        max_concurrency: Any = None,
        scaleup_window: Any = None,
        label: str | None = None,
        custom_domains: Iterable[str] | None = None,
    ) -> None:
        most = int(number("max_concurrency", max_concurrency or None, 1, MOST_REQUESTS, "", MOST_REQUESTS, whole=True))
        self.max_concurrency = most
        # 0: not by how many requests there are.
        self.target_concurrency = number("target_concurrency", target_concurrency or None, 0.01, MOST_REQUESTS, "", 0)
        if self.target_concurrency > most:
            raise InvalidError(
                f"target_concurrency is {target_concurrency}, more than max_concurrency ({most}): it is at most that"
            )
        self.scaleup_window = number("scaleup_window", scaleup_window, 0, DAY_S, "s", 0)
        self.web = WebOptions(
            SERVER,
            "server",
            label=label,
            custom_domains=custom_domains,
            requires_proxy_auth=not unauthenticated,
            # Nothing leads to a result elsewhere, and nothing but the server itself limits a request's time.
            response_timeout=0,
            port=int(number("port", port, 1, 65535, "", 0, whole=True)),
            port_timeout=number("startup_timeout", startup_timeout, 1, DAY_S, "s", 30),
            exit_grace_s=number("exit_grace_period", exit_grace_period, 0, HOUR_S, "s", 0),
        )

    def fill(self, options: FunctionOptions, *, has_sessions: bool) -> FunctionOptions:
        """Write into a function's options what a server has otherwise, and return them."""
        options.timeout = DAY_S
        # What the runner says of a server that does not listen comes before the service ends the container.
        options.startup_timeout = min(DAY_S, self.web.port_timeout + 5)
        options.max_inputs, options.target_inputs = self.max_concurrency, 0
        if has_sessions:
            # Then these are what is counted, and requests are as many as come.
            self.web.max_sessions, options.max_inputs = self.max_concurrency, MOST_REQUESTS
        options.target_concurrency, options.scaleup_window = self.target_concurrency, self.scaleup_window
        return options


class ServerDefinition(ClassDefinition):
    """A class of the user's that is a server, and what it asks for."""

    __slots__ = ()

    def __init__(
        self,
        blueprint: Blueprint,
        name: str | None,
        options: FunctionOptions,
        sent: Callable[[type, str], Any],
        web: WebOptions,
    ) -> None:
        user_class = blueprint.user_class
        if blueprint.required or blueprint.parameters:
            raise InvalidError(
                f"class {user_class.__name__} is a server, and takes arguments: nobody passes any when a container "
                "starts; read them from the environment, or define a class for each"
            )
        if concurrent_mark(user_class) is not None:
            raise InvalidError(
                f"class {user_class.__name__} has @wherry.concurrent(): a server takes requests at once anyway; give "
                "@app.server() target_concurrency= and max_concurrency= instead"
            )
        super().__init__(blueprint, name, options, sent)
        self.web = web
        web.check(self.name, options)
