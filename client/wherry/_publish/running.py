"""Brings an app up: all that its functions need, and the functions themselves; and down again."""

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from wherry._base.code import has_file, importable_name
from wherry._connection.client import default_client
from wherry._publish.apps import tell_of_schedules, warn_of
from wherry._publish.bring_up import bring_up
from wherry._publish.images import check_python
from wherry._publish.needs import alias_main, modules_of, needs_of
from wherry._publish.source import SourceFile as LocalFile
from wherry._publish.spec import function_spec
from wherry._screen.output import Silent
from wherry._screen.plain import Cells
from wherry.context import GUARD, check_local
from wherry_proto.messages import (
    AppInfo,
    AppOpenRequest,
    AppPublishRequest,
    AppPublishResponse,
    AppSetTagsRequest,
    AppStopRequest,
    AppStopResponse,
    FunctionInfo,
    FunctionSpec,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry._connection.client import Client
    from wherry._define.definition import Definition
    from wherry._define.plan import Plan
    from wherry._define.recipe import Recipe


class Prepared:
    """All that the service needs to serve an app's functions, sent but for what describes them."""

    def __init__(
        self, specs: list[FunctionSpec], files: list[LocalFile], root: Path | None, by_reference: bool
    ) -> None:
        # In the order of the plan's definitions.
        self.specs = specs
        self.files = files
        self.root = root
        # Whether values of the script's own types can be sent by reference.
        self.by_reference = by_reference


class Published:
    """Functions that can be called, in the order of the plan's definitions."""

    def __init__(self, client: "Client", environment: str, ready: Prepared, infos: "Sequence[FunctionInfo]") -> None:
        self.client = client
        self.environment = environment
        self.ready = ready
        self.infos = infos


class Running:
    """An app that runs."""

    def __init__(self, client: "Client", app_id: str, detach: bool, name: str | None) -> None:
        self.client = client
        self.app_id = app_id
        # What it is called instead of what its code says.
        self.name = name
        # Held while it is given other functions.
        self.publishing = threading.Lock()
        self._detach = detach
        self._pid = os.getpid()

    def stop(self) -> None:
        """Stop the app, unless it is detached."""
        if self._detach or os.getpid() != self._pid:
            return  # in a forked child: the app is its parent's
        # A service that is away stops it by itself: it knows which client is gone.
        answer = self.client.tell("Apps.Stop", AppStopRequest(app_id=self.app_id))
        if isinstance(answer, AppStopResponse):
            warn_of(answer.left_over)


def start(
    plan: "Plan", client: "Client | None", detach: bool, environment: str | None, name: str | None = None
) -> tuple[Running, Published]:
    """Bring the app up, under its own name or another. What any step raises, stops it."""
    check_local("running an app", GUARD)
    client = client or default_client()
    environment = environment or client.environment
    if type(client.listener.screen) is Silent and in_notebook():
        client.listener.screen = Cells()
    _ = client.session  # connected first: the service ties the app to it
    app_id = open_app(plan, client, client.client_id, detach, environment, name).app_id
    try:
        published = publish(plan, client, app_id, environment, name)
        if scheduled := [one.name for one in plan.definitions if one.options.schedule is not None]:
            tell_of_schedules(scheduled)
    except BaseException:
        client.tell("Apps.Stop", AppStopRequest(app_id=app_id))
        raise
    return Running(client, app_id, detach, name), published


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook: what is printed appears below the cell that runs."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def open_app(
    plan: "Plan",
    client: "Client",
    owner_id: str,
    detach: bool,
    environment: str,
    name: str | None = None,
    deploys: bool = False,
) -> AppInfo:
    """Open the app, without functions yet; it ends with the client `owner_id`, unless it is detached, or deployed."""
    modules = modules_of(plan.definitions)
    name = name or plan.name
    name = name or next((importable_name(module.__name__).rpartition(".")[2] for module in modules), "app")
    request = AppOpenRequest(name=name[:64], environment=environment, client_id=owner_id, detach=detach, deploy=deploys)
    info = client.call("Apps.Open", request, AppInfo)
    if plan.tags and info.tags != plan.tags:
        info = client.call("Apps.SetTags", AppSetTagsRequest(app_id=info.app_id, tags=dict(plan.tags)), AppInfo)
    return info


def publish(plan: "Plan", client: "Client", app_id: str, environment: str, name: str | None = None) -> Published:
    """Give a running app, called so instead of what its code says, its functions as they are defined here."""
    ready = prepared(plan, client, app_id, environment, name=name)
    request = AppPublishRequest(app_id=app_id, functions=ready.specs)
    infos = client.call("Apps.Publish", request, AppPublishResponse).functions
    announce(client, plan.definitions, infos)
    return Published(client, environment, ready, infos)


def prepared(
    plan: "Plan",
    client: "Client",
    app_id: str,
    environment: str,
    built: "Mapping[Recipe, str] | None" = None,
    creates: bool = True,
    name: str | None = None,
) -> Prepared:
    """Bring up what the functions need, and describe them.

    Images are not built where their ids are given; volumes and objects are made unless it is only a question. `name`:
    what the app is called instead of what its code says.
    """
    modules = modules_of(plan.definitions)
    alias_main()
    specs = [function_spec(definition) for definition in plan.definitions]
    called = name or plan.name
    for spec, definition in zip(specs, plan.definitions, strict=True):
        # What the code calls the app that defines it: this one, or one that it includes.
        own_name = plan.of(definition).name
        spec.app_name = own_name if own_name and own_name != called else ""
    brought = bring_up(
        client,
        [needs_of(plan, definition, modules) for definition in plan.definitions],
        app_id=app_id,
        environment=environment,
        built=built,
        objects=plan.objects,
        creates=creates,
    )
    for spec, ready in zip(specs, brought.ready, strict=True):
        ready.fill(spec)
        if spec.serialized is not None:
            check_python(client, spec.name, spec.image_id)
    main_is_shipped = any(module.__name__ == "__main__" and has_file(module) for module in modules)
    return Prepared(specs, brought.files, brought.root, main_is_shipped)


def announce(client: "Client", definitions: "Sequence[Definition]", infos: "Sequence[FunctionInfo]") -> None:
    """Say what there is."""
    screen = client.listener.screen
    for definition, info in zip(definitions, infos, strict=True):
        screen.step(f"Created {'class' if definition.is_class else 'function'} {definition.name}")
        for name, url in _urls(info):
            screen.step(f"Serving {name} at {url}")


def _urls(info: FunctionInfo) -> list[tuple[str, str]]:
    """Return the names and URLs of a function's, or a class's, web endpoints."""
    own = [(info.name, info.web_url)] if info.web_url else []
    return own + [(f"{info.name}.{method.name}", method.web_url) for method in info.methods if method.web_url]
