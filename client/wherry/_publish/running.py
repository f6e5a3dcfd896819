"""Brings an app up: images built, source shipped, functions published; and down again."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry._base.code import importable_name
from wherry._calling.caller import Caller
from wherry._connection.client import default_client
from wherry._define.definition import ClassDefinition, Definition
from wherry._define.places import bucket_mounts, together
from wherry._define.places import mounts as volume_mounts
from wherry._objects.secrets import secret_ids
from wherry._publish.images import ensure_images
from wherry._publish.mounts import local_mounts, module_mounts
from wherry._publish.shipping import ship_modules
from wherry._publish.source import SourceFile as LocalFile
from wherry._publish.source import is_installed
from wherry._publish.spec import function_spec
from wherry.context import GUARD, check_local
from wherry.exception import InvalidError
from wherry.function import Function
from wherry.image import Image
from wherry.mount import Mounts, mounts_of
from wherry_proto.messages import (
    AppInfo,
    AppOpenRequest,
    AppPublishRequest,
    AppPublishResponse,
    AppStopRequest,
    AppStopResponse,
    FunctionInfo,
    FunctionSpec,
)

if TYPE_CHECKING:
    from wherry._connection.client import Client
    from wherry.app import App

log = logging.getLogger("wherry")

# What a container's Python has loaded before it comes to the user's source. More of them it tells as it loads.
_LOADED_FIRST = frozenset(
    (
        "abc", "builtins", "codecs", "encodings", "genericpath", "io", "marshal", "os", "posix", "posixpath", "site",
        "stat", "sys", "time", "zipimport",
    )
)  # fmt: skip


class Running:
    """An app that runs."""

    def __init__(self, client: "Client", app_id: str, functions: list[Function[..., Any]], detach: bool) -> None:
        self.client = client
        self.app_id = app_id
        self._functions = functions
        self._detach = detach
        self._pid = os.getpid()

    def stop(self) -> None:
        """Stop the app, unless it is detached; its handles can't be called afterwards."""
        for function in self._functions:
            function._hydrate(None)
        if self._detach or os.getpid() != self._pid:
            return  # in a forked child: the app is its parent's
        # A service that is away stops it by itself: it knows which client is gone.
        answer = self.client.tell("Apps.Stop", AppStopRequest(app_id=self.app_id))
        if isinstance(answer, AppStopResponse) and answer.left_over:
            log.warning(
                "wherry: the engine did not answer, so %s may still be there; removed when it does",
                ", ".join(answer.left_over),
            )


def start(app: "App", client: "Client | None", detach: bool, environment: str | None) -> Running:
    """Bring the app up and bind its functions' handles. What any step raises, stops it."""
    check_local("running an app", GUARD)
    client = client or default_client()
    _ = client.session  # connected first: the service ties the app to it
    app_id = open_app(app, client, client.client_id, detach, environment).app_id
    functions = list(app._functions.values())
    try:
        publish(app, client, app_id)
    except BaseException:
        client.tell("Apps.Stop", AppStopRequest(app_id=app_id))
        raise
    return Running(client, app_id, functions, detach)


def open_app(
    app: "App",
    client: "Client",
    owner_id: str,
    detach: bool,
    environment: str | None,
    name: str | None = None,
    deploys: bool = False,
) -> AppInfo:
    """Open the app, without functions yet; it ends with the client `owner_id`, unless it is detached, or deployed."""
    modules = _modules([function.info for function in app._functions.values()])
    name = name or app.name
    name = name or next((importable_name(module.__name__).rpartition(".")[2] for module in modules), "app")
    request = AppOpenRequest(
        name=name[:64],
        environment=environment or client.environment,
        client_id=owner_id,
        detach=detach,
        deploy=deploys,
    )
    app._environment = request.environment
    return client.call("Apps.Open", request, AppInfo)


class Prepared:
    """All that the service needs to serve an app's functions, sent but for what describes them."""

    def __init__(
        self,
        functions: list[Function[..., Any]],
        specs: list[FunctionSpec],
        files: list[LocalFile],
        root: Path | None,
        by_reference: bool,
    ) -> None:
        self.functions = functions
        # In the same order.
        self.specs = specs
        self.files = files
        self.root = root
        # Whether values of the script's own types can be sent by reference.
        self.by_reference = by_reference


def images_of(app: "App") -> list[Image]:
    """Return the image of each function."""
    return [function.info.options.image or app.image or Image.debian_slim() for function in app._functions.values()]


def prepared(
    app: "App", client: "Client", app_id: str, image_ids: list[str] | None = None, makes_volumes: bool = True
) -> Prepared:
    """Build the images, unless their ids are given, send source and secrets, and describe the functions.

    Volumes that are not there are made where they say so, unless it is only a question.
    """
    functions = list(app._functions.values())
    modules = _modules([function.info for function in functions])
    _alias_main()
    images = images_of(app)
    image_ids = image_ids or ensure_images(client, images, environment=app._environment)
    mounts = [
        Mounts(image, (*mounts_of(app._mounts), *function.info.options.mounts))
        for image, function in zip(images, functions, strict=True)
    ]
    files, root, specs = _specs(client, functions, mounts, image_ids, modules)
    wanted = [app._secrets + function.info.options.secrets for function in functions]
    for spec, ids in zip(specs, secret_ids(client, wanted, app_id), strict=True):
        spec.secret_ids = ids
    if makes_volumes:
        for own in app._objects:
            own._bring_up(client, app_id)
    for function, spec in zip(functions, specs, strict=True):
        _fill_volumes(app, client, app_id, function, spec, makes_volumes)
    main_is_shipped = _has_main_file() and any(module.__name__ == "__main__" for module in modules)
    return Prepared(functions, specs, files, root, main_is_shipped)


def bind_handles(client: "Client", ready: Prepared, infos: list[FunctionInfo]) -> None:
    """Let the functions' handles be called, and say what there is."""
    for function, info in zip(ready.functions, infos, strict=True):
        function._hydrate(Caller(client, info, by_reference=ready.by_reference, local_root=ready.root))
        kind = "class" if isinstance(function.info, ClassDefinition) else "function"
        client.listener.screen.step(f"Created {kind} {function.info.name}")
        for name, url in _urls(info):
            client.listener.screen.step(f"Serving {name} at {url}")


def publish(app: "App", client: "Client", app_id: str) -> list[LocalFile]:
    """Give a running app its functions as they are defined here, and bind their handles; return the source sent."""
    ready = prepared(app, client, app_id)
    request = AppPublishRequest(app_id=app_id, functions=ready.specs)
    published = client.call("Apps.Publish", request, AppPublishResponse)
    bind_handles(client, ready, published.functions)
    return ready.files


def _urls(info: FunctionInfo) -> list[tuple[str, str]]:
    """Return the names and URLs of a function's, or a class's, web endpoints."""
    own = [(info.name, info.web_url)] if info.web_url else []
    return own + [(f"{info.name}.{method.name}", method.web_url) for method in info.methods if method.web_url]


def _specs(
    client: "Client",
    functions: list[Function[..., Any]],
    mounted: "list[Mounts]",
    image_ids: list[str],
    modules: list[Any],
) -> tuple[list[LocalFile], Path | None, list[FunctionSpec]]:
    """Send the source, and what images have containers start with; return the files, their root, and the specs."""
    shipped = {own: ship_modules(client, modules, module_mounts(own)) for own in dict.fromkeys(mounted)}
    alone = {own: ship_modules(client, [], module_mounts(own)).source_id for own in shipped}
    mounts = {own: local_mounts(client, own) for own in shipped}
    specs: list[FunctionSpec] = []
    for function, own, image_id in zip(functions, mounted, image_ids, strict=True):
        with_source = function.info.options.include_source
        spec = function_spec(function.info, image_id, shipped[own].source_id if with_source else alone[own])
        spec.local_mounts = list(mounts[own])
        specs.append(spec)
    files = {file.path: file for found in shipped.values() for file in found.files}
    root = next((found.root for found in shipped.values()), None)
    return list(files.values()), root, specs


def _fill_volumes(
    app: "App", client: "Client", app_id: str, function: Function[..., Any], spec: FunctionSpec, creates: bool
) -> None:
    options = function.info.options
    wanted = together("volumes", app._volumes, options.volumes)
    where = app._environment
    spec.volumes = volume_mounts(client, wanted, app_id, where, creates)
    spec.bucket_mounts = bucket_mounts(client, wanted, app_id)
    spec.network_file_systems = volume_mounts(client, options.network_file_systems, app_id, where, creates)


def _modules(definitions: list[Definition]) -> list[Any]:
    """Return the modules that define functions, each once, unless their source is not wanted.

    Raises InvalidError for one that no container could import.
    """
    modules: dict[str, Any] = {}
    for definition in definitions:
        if definition.options.include_source and definition.module is not None:
            own = getattr(definition.module, "__file__", None)
            is_imported = definition.module_name in _LOADED_FIRST and not definition.sends_itself
            if is_imported and own is not None and not is_installed(Path(own)):
                raise InvalidError(
                    f"{definition.module_name}.py has the name of a module that Python itself loads before it: "
                    "rename the file"
                )
            modules.setdefault(definition.function.__module__, definition.module)
    return list(modules.values())


def _alias_main() -> None:
    """Let a script's types have one identity here: containers name them by the script's own name."""
    main = sys.modules["__main__"]
    if _has_main_file():
        sys.modules.setdefault(importable_name("__main__"), main)


def _has_main_file() -> bool:
    return bool(getattr(sys.modules["__main__"], "__file__", None))
