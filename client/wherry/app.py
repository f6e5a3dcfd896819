"""Apps: functions that run together."""

from __future__ import annotations

from wherry._app.asked import AskedApp
from wherry._app.older_app import OlderApp
from wherry._app.roster import FunctionDecorator, LocalEntrypoint, Roster
from wherry._base.blocking import blocking, blocking_classmethod, iterating
from wherry._base.hints import TYPE_CHECKING, Any, ParamSpec, TypeVar, dataclass_transform
from wherry._calling.owner import Owner
from wherry._define.names import check_app_name, check_written_name, checked_tags, is_app_id
from wherry._define.options import FunctionOptions, translate
from wherry._define.recipe import checked_recipe
from wherry.exception import InvalidError
from wherry.function import Function

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Never

    from wherry._calling.app_run import AppRun
    from wherry._classes.parameters import parameter
    from wherry._connection.client import Client
    from wherry._define.places import Placed
    from wherry.image import Image
    from wherry.retries import Retries
    from wherry.sandbox import Sandbox
    from wherry.schedule import Schedule
    from wherry.secret import Secret
    from wherry.server import Server

else:
    parameter = None  # only type checkers ask which function it is

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class App(OlderApp, AskedApp):
    """A set of functions that are run, and later deployed, together. `Stub` is the same class under its old name.

    Functions that name no image use `image`. All functions get `secrets`, `volumes` and `mounts`, then their own.
    With `include_source=False` functions come without their source files, unless they say otherwise: the image then
    holds them. `tags` are your own names and values, which `get_tags` returns. (reference: Stub)
    """

    _include_source = True  # of apps pickled by a version before

    def __init__(
        self,
        name: str | None = None,
        *,
        image: Image | None = None,
        secrets: Sequence[Secret] = (),
        volumes: Mapping[str, Any] | None = None,
        mounts: Sequence[Any] = (),
        include_source: bool = True,
        tags: Mapping[str, str] | None = None,
        **objects: Any,
    ) -> None:
        if name is not None:
            check_written_name(name)
        checked_recipe(image)
        places: Placed = ()
        if volumes:
            from wherry._define.places import placed  # noqa: PLC0415 - start-up cost: only where there are some

            places = placed("volumes", volumes)
        named: tuple[Secret, ...] = ()
        if secrets:
            from wherry.secret import secrets_of  # noqa: PLC0415 - start-up cost: only where there are secrets

            named = secrets_of("secrets", secrets)
        # So named since programs give their apps attributes of their own.
        self.__wherry_owner__ = Owner(
            self,
            name,
            image,
            secrets=named,
            volumes=places,
            mounts=tuple(mounts),
            default_image=_default_image,
            tags=checked_tags(tags),
        )
        self._include_source = include_source is not False
        self._roster = Roster(self.__wherry_owner__, {}, {})
        self.own(objects)

    @property
    def name(self) -> str | None:
        """The app's name; None if it has none."""
        return self.__wherry_owner__.name

    def __getstate__(self) -> dict[str, Any]:
        # As every version has it.
        state, roster = dict(self.__dict__), self._roster
        del state["_roster"]
        return {**state, "_functions": roster.functions, "_entrypoints": roster.entrypoints}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        functions, entrypoints = state.pop("_functions"), state.pop("_entrypoints")
        self.__dict__.update(state)
        if "__wherry_owner__" not in state:  # pickled by a version before
            self.__wherry_owner__ = Owner(
                self,
                state["_name"],
                state["_image"],
                secrets=state["_secrets"],
                volumes=state["_volumes"],
                mounts=state["_mounts"],
                default_image=_default_image,
            )
        self._roster = Roster(self.__wherry_owner__, functions, entrypoints)

    @property
    def image(self) -> Image | None:
        """The image of functions that name none."""
        image: Image | None = self.__wherry_owner__.image
        return image

    @image.setter
    def image(self, image: Image) -> None:
        self.__wherry_owner__.image = image

    @property
    def app_id(self) -> str | None:
        """The id, "ap-…", while the app runs, and once it was deployed here."""
        return self.__wherry_owner__.app_id

    @property
    def description(self) -> str:
        """The name; for an app without a name, that of the module that defines it. (reference: App.description)"""
        owner = self.__wherry_owner__
        return owner.name or owner.module_name

    @property
    def registered_functions(self) -> dict[str, Function[..., Any]]:
        """The functions, by name."""
        return self._roster.plain_functions

    @property
    def registered_classes(self) -> dict[str, type]:
        """The plain classes that `@app.cls()` was on, by name."""
        return self._roster.classes

    @property
    def registered_web_endpoints(self) -> list[str]:
        """The names of the web endpoints, those of a class as "Class.method"."""
        return self._roster.web_endpoints

    @property
    def registered_entrypoints(self) -> dict[str, LocalEntrypoint[..., Any]]:
        """The local entrypoints, by name."""
        return dict(self._roster.entrypoints)

    def function(
        self,
        _warn_parentheses_missing: Any = None,
        *,
        image: Image | None = None,
        env: Mapping[str, str] | None = None,
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        retries: int | Retries | None = None,
        timeout: float | None = 300,
        startup_timeout: float | None = None,
        max_containers: int | None = None,
        min_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
        concurrency_limit: int | None = None,
        keep_warm: int | None = None,
        container_idle_timeout: float | None = None,
        allow_concurrent_inputs: int | None = None,
        name: str | None = None,
        is_generator: bool | None = None,
        serialized: bool = False,
        block_network: bool = False,
        include_source: bool | None = None,
        secret: Secret | None = None,
        secrets: Sequence[Secret] | None = None,
        volumes: Any = None,
        network_file_systems: Any = None,
        mounts: Any = None,
        mount: Any = None,
        gpu: Any = None,
        ephemeral_disk: int | None = None,
        schedule: Schedule | None = None,
        on_failure: Function[..., Any] | str | None = None,
        interactive: Any = None,
        single_use_containers: bool = False,
        max_inputs: int | None = None,
        cloud: Any = None,
        region: Any = None,
        routing_region: Any = None,
        nonpreemptible: bool = False,
        enable_memory_snapshot: bool = False,
        restrict_modal_access: bool = False,
        i6pn: bool | None = None,
        proxy: Any = None,
        experimental_options: Any = None,
        **private: Never,
    ) -> FunctionDecorator:
        """Make the function below run in containers.

        `cpu` in cores and `memory` in MiB, each a request or (request, limit); `timeout` (default 300),
        `startup_timeout` and `scaledown_window` (default 60) in seconds; `max_containers` (old: concurrency_limit),
        `min_containers` (old: keep_warm), `buffer_containers` as counts; `gpu` "any", "T4", "A100:2" or a list of
        such; `secrets` (old: secret) whose values become environment variables, later ones winning, and `env` over
        them; `volumes` and `network_file_systems` by place; `mounts` of files of this machine; `ephemeral_disk` in
        MiB; `single_use_containers`, or `max_inputs=1`: a container takes one input; `schedule`, a `Cron` or `Period`:
        when it runs by itself once its app is deployed; `on_failure`, a function or its name: it is called with a dict
        about each spawned or scheduled input that has failed (docs/replay.md). What means nothing on your own machines,
        such as `region`, is ignored with a warning, or refused. Raises InvalidError for values out of range and for
        features that this version lacks. (reference: Stub.function)
        """
        if _warn_parentheses_missing is not None:
            return self.without_parentheses("function", _warn_parentheses_missing)  # type: ignore[no-any-return]
        options = self._options(locals())
        return FunctionDecorator(self._roster, name, is_generator, options)

    @dataclass_transform(field_specifiers=(parameter,), kw_only_default=True)
    def cls(
        self,
        _warn_parentheses_missing: Any = None,
        *,
        name: str | None = None,
        image: Image | None = None,
        env: Mapping[str, str] | None = None,
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        retries: int | Retries | None = None,
        timeout: float | None = 300,
        startup_timeout: float | None = None,
        max_containers: int | None = None,
        min_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
        concurrency_limit: int | None = None,
        keep_warm: int | None = None,
        container_idle_timeout: float | None = None,
        allow_concurrent_inputs: int | None = None,
        serialized: bool = False,
        block_network: bool = False,
        include_source: bool | None = None,
        secret: Secret | None = None,
        secrets: Sequence[Secret] | None = None,
        volumes: Any = None,
        network_file_systems: Any = None,
        mounts: Any = None,
        mount: Any = None,
        gpu: Any = None,
        ephemeral_disk: int | None = None,
        schedule: Schedule | None = None,
        on_failure: Function[..., Any] | str | None = None,
        interactive: Any = None,
        single_use_containers: bool = False,
        max_inputs: int | None = None,
        cloud: Any = None,
        region: Any = None,
        routing_region: Any = None,
        nonpreemptible: bool = False,
        enable_memory_snapshot: bool = False,
        restrict_modal_access: bool = False,
        i6pn: bool | None = None,
        proxy: Any = None,
        experimental_options: Any = None,
        **private: Never,
    ) -> Callable[[type[T]], type[T]]:
        """Make the methods with `@method()` of the class below run in containers.

        Its options are those of `function`. (reference: Stub.cls)
        """
        if _warn_parentheses_missing is not None:
            raise InvalidError("parentheses are missing: write @app.cls() instead of @app.cls")
        checked = self._options(locals())

        def decorate(user_class: Any) -> Any:
            if hasattr(user_class, "__wherry_http_server__"):
                from wherry.server import made_of_class  # noqa: PLC0415 - start-up cost: only where there are such

                return made_of_class(self._roster, user_class, name, checked)
            from wherry.cls import make  # noqa: PLC0415 - start-up cost: only where there are classes

            return make(self._roster, user_class, name, checked)

        return decorate

    def server(
        self,
        _warn_parentheses_missing: Any = None,
        *,
        image: Image | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[Secret] | None = None,
        gpu: Any = None,
        serialized: bool = False,
        volumes: Any = None,
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        ephemeral_disk: int | None = None,
        target_concurrency: float | None = None,
        max_concurrency: int | None = None,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaleup_window: float | None = None,
        scaledown_window: float | None = None,
        startup_timeout: float = 30,
        name: str | None = None,
        port: int = 8000,
        unauthenticated: bool = False,
        h2_enabled: bool = False,
        exit_grace_period: float = 0,
        routing_region: Any = "us-east",
        compute_region: Any = None,
        cloud: Any = None,
        nonpreemptible: bool = False,
        proxy: Any = None,
        i6pn: bool | None = None,
        enable_memory_snapshot: bool = False,
        include_source: bool | None = None,
        experimental_options: Any = None,
        label: str | None = None,
        custom_domains: Sequence[str] | None = None,
    ) -> Callable[[type], Server]:
        """Make the class below a server: a method with `@enter()` starts a program that serves `port`.

        A container is ready once it listens, within `startup_timeout` seconds. With `target_concurrency`, in requests
        for each container, more containers start; without it there is one, or `min_containers`. `max_concurrency` (at
        most 1000) limits the requests at once in one. Requests need a token unless `unauthenticated`; those in a
        container that ends get `exit_grace_period` seconds. `scaleup_window` and `scaledown_window` in seconds; `label`
        and `custom_domains` as of `web_server`; the others as of `function`. Raises InvalidError for values out of
        range and classes that can't be one. (reference: App.server)
        """
        if _warn_parentheses_missing is not None:
            raise InvalidError("parentheses are missing: write @app.server() instead of @app.server")
        from wherry._classes.server_definition import ServerOptions  # noqa: PLC0415 - start-up cost: only where there are servers
        from wherry.server import make  # noqa: PLC0415 - start-up cost: as above

        given = {
            "image": image, "env": env, "secrets": secrets, "gpu": gpu, "serialized": serialized, "volumes": volumes,
            "cpu": cpu, "memory": memory, "ephemeral_disk": ephemeral_disk, "min_containers": min_containers,
            "max_containers": max_containers, "buffer_containers": buffer_containers,
            "scaledown_window": scaledown_window, "include_source": include_source, "cloud": cloud,
            "compute_region": compute_region, "routing_region": None if routing_region == "us-east" else routing_region,
            "nonpreemptible": nonpreemptible, "proxy": proxy, "i6pn": i6pn, "h2_enabled": h2_enabled,
            "enable_memory_snapshot": enable_memory_snapshot, "experimental_options": experimental_options,
        }  # fmt: skip
        options = FunctionOptions(**{"include_source": self._include_source, **translate(given, stacklevel=2)})
        server = ServerOptions(
            port=port, startup_timeout=startup_timeout, exit_grace_period=exit_grace_period,
            unauthenticated=unauthenticated, target_concurrency=target_concurrency, max_concurrency=max_concurrency,
            scaleup_window=scaleup_window, label=label, custom_domains=custom_domains,
        )  # fmt: skip
        return lambda user_class: make(self._roster, user_class, name, options, server)

    def _experimental_server(self, *, proxy_regions: Any = None, region: Any = None, **options: Any) -> Any:
        """Old name of `server`, whose requests needed no token."""
        options = {"unauthenticated": True, **options}
        return self.server(routing_region=proxy_regions or "us-east", compute_region=region, **options)

    def local_entrypoint(
        self, _warn_parentheses_missing: Any = None, *, name: str | None = None
    ) -> Callable[[Callable[P, R]], LocalEntrypoint[P, R]]:
        """Make the function below one that `wherry run` calls here, its parameters being options.

        (reference: Stub.local_entrypoint)
        """
        if _warn_parentheses_missing is not None:
            return self.without_parentheses("local_entrypoint", _warn_parentheses_missing)  # type: ignore[no-any-return]
        return lambda function: self._roster.add_entrypoint(function, name or function.__qualname__, self)

    def include(self, other_app: App, inherit_tags: bool = True) -> App:
        """Add the functions and classes of another app to this one, and return this one.

        They keep what their own app gives them: its image, secrets, volumes and mounts. What it defines afterwards
        is not included. `inherit_tags`: the other's tags as well, where this app has none of the name. Raises
        InvalidError where both have a function of one name. (reference: App.include)
        """
        if not isinstance(other_app, App):
            raise InvalidError(f"App.include got {other_app!r}: it takes another App")
        self._roster.include(other_app._roster, inherit_tags)
        return self

    @iterating
    def run(
        self,
        client: Client | None = None,
        show_progress: bool | None = None,
        detach: bool = False,
        environment_name: str | None = None,
        *,
        name: str | None = None,
        interactive: bool = False,
    ) -> AppRun[App]:
        """Run the app within a `with` or `async with` block, where its functions can be called.

        `detach` leaves it running afterwards, until its last call ends. `name` is the name of this run in lists,
        instead of the app's own name. Raises InvalidError for `interactive`: that is `wherry run -i`.
        (reference: Stub.run)
        """
        if interactive:
            from wherry._base.elsewhere import refusal  # noqa: PLC0415 - start-up cost: only for this

            raise refusal("interactive", "modal.App.run(interactive=)")
        owner = self.__wherry_owner__
        if name is not None:
            check_app_name(name)
        from wherry._calling.app_run import AppRun  # noqa: PLC0415 - start-up cost: only where apps are run, not in containers

        return AppRun(self, lambda: owner.begin(client, detach, environment_name, name), owner.end)

    @blocking
    def deploy(
        self,
        name: str | None = None,
        environment_name: str | None = None,
        client: Client | None = None,
        tag: str = "",
        strategy: str = "rolling",
    ) -> App:
        """Deploy the app: its functions become its next version, and stay callable after this program has ended.

        Progress is shown on stderr, or by `wherry.enable_output()` inside such a block.
        `strategy` is "rolling" or "recreate". Raises DeploymentError where the version does not start: the one before
        serves on; InvalidError for an app that has no name. (reference: Stub.deploy)
        """
        from wherry._publish.deploying import deploy_aloud  # noqa: PLC0415 - start-up cost: loads the session

        owner = self.__wherry_owner__
        deployed = deploy_aloud(owner.plan(), client, name, environment_name, tag, strategy)
        owner.deployed_id = deployed.app_id
        if deployed.published is not None:
            owner.bind(deployed.published)
        return self

    @blocking_classmethod
    def lookup(
        cls,
        name: str,
        client: Client | None = None,
        environment_name: str | None = None,
        create_if_missing: bool = False,
    ) -> App:
        """Return the deployed app of that name, for `Sandbox.create(app=…)`: sandboxes end when it is stopped.

        Its functions are not in it: `Function.from_name` finds those. `create_if_missing` deploys it, without
        functions. In place of the name the id ("ap-…") of any running app will do. Raises NotFoundError if there is
        none. In a container none is created: its own app, whose all its sandboxes are, stands for a missing one.
        (reference: App.lookup)
        """
        from wherry._publish.deploying import looked_up  # noqa: PLC0415 - start-up cost: loads the session

        if is_app_id(name):
            if create_if_missing:
                raise InvalidError(f"App.lookup({name!r}) names an app by its id: create_if_missing needs a name")
            app = App()
        else:
            app = App(check_app_name(name))
        owner = app.__wherry_owner__
        found = looked_up(owner.plan(), client, environment_name, create_if_missing, name if app.name is None else "")
        owner.became(found.app_id, found.name, found.environment, client)
        return app

    def spawn_sandbox(self, *command: str, **options: Any) -> Sandbox:
        """As `Sandbox.create(*command, app=self, …)`, its older spelling. (reference: Stub.spawn_sandbox)"""
        from wherry.sandbox import Sandbox  # noqa: PLC0415 - start-up cost: for those who use it

        return Sandbox.create(*command, app=self, **options)

    def _options(self, given: dict[str, Any]) -> FunctionOptions:
        """Return the options among all that `function` or `cls` was given."""
        options = {**given, **given["private"]}
        for own in ("self", "_warn_parentheses_missing", "name", "is_generator", "private"):
            options.pop(own, None)
        return FunctionOptions(**{"include_source": self._include_source, **translate(options, stacklevel=3)})

    def __repr__(self) -> str:
        return f"App({self.name!r})"


def _default_image() -> Image:
    from wherry.image import Image  # noqa: PLC0415 - start-up cost: only where something is brought up

    return Image.debian_slim()


Stub = App


def __getattr__(name: str) -> Any:
    if name == "AppSandboxesManager":
        from wherry._base.elsewhere import refused  # noqa: PLC0415 - start-up cost: only for those who name it

        return refused("modal.app.AppSandboxesManager")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
