"""Brings an app up: images built, source shipped, functions published; and down again."""

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry import _payload
from wherry._caller import Caller
from wherry._client import default_client
from wherry._definition import ClassDefinition, Definition, importable_name
from wherry._images import ensure_images
from wherry._source import SourceFile as LocalFile
from wherry._source import source_files
from wherry.context import check_local
from wherry.exception import InvalidError, SerializationError
from wherry.function import Function
from wherry_proto.messages import (
    AppInfo,
    AppOpenRequest,
    AppPublishRequest,
    AppPublishResponse,
    AppStopRequest,
    AppStopResponse,
    BlobMissingRequest,
    BlobMissingResponse,
    Format,
    FunctionInfo,
    FunctionSpec,
    Payload,
    SourceFile,
    SourceInfo,
    SourceTree,
)

if TYPE_CHECKING:
    from wherry._client import Client
    from wherry.app import App

log = logging.getLogger("wherry")

MAX_SERIALIZED = 16 << 20
WARN_SERIALIZED = 256 << 10


class Running:
    """An app that runs."""

    def __init__(self, client: "Client", app_id: str, functions: list[Function[..., Any]], detach: bool) -> None:
        self.client = client
        self.app_id = app_id
        self._functions = functions
        self._detach = detach

    def stop(self) -> None:
        """Stop the app, unless it is detached; its handles can't be called afterwards."""
        for function in self._functions:
            function._hydrate(None)
        if self._detach:
            return
        # A service that is away stops it by itself: it knows which client is gone.
        answer = self.client.tell("Apps.Stop", AppStopRequest(app_id=self.app_id))
        if isinstance(answer, AppStopResponse) and answer.left_over:
            log.warning(
                "wherry: the engine did not answer, so %s may still be there; removed when it does",
                ", ".join(answer.left_over),
            )


def start(app: "App", client: "Client | None", detach: bool, environment: str | None) -> Running:
    """Bring the app up and bind its functions' handles. What any step raises, stops it."""
    check_local("running an app")
    client = client or default_client()
    _ = client.session  # connected first: the service ties the app to it
    app_id = open_app(app, client, client.client_id, detach, environment)
    functions = list(app._functions.values())
    try:
        publish(app, client, app_id)
    except BaseException:
        client.tell("Apps.Stop", AppStopRequest(app_id=app_id))
        raise
    return Running(client, app_id, functions, detach)


def open_app(app: "App", client: "Client", owner_id: str, detach: bool, environment: str | None) -> str:
    """Open the app, without functions yet, and return its id; it ends with the client `owner_id`, unless detached."""
    modules = _modules([function.info for function in app._functions.values()])
    name = app.name or next((importable_name(module.__name__).rpartition(".")[2] for module in modules), "app")
    request = AppOpenRequest(
        name=name[:64], environment=environment or client.environment, client_id=owner_id, detach=detach
    )
    return client.call("Apps.Open", request, AppInfo).app_id


def publish(app: "App", client: "Client", app_id: str) -> list[LocalFile]:
    """Give a running app its functions as they are defined here, and bind their handles; return the source sent."""
    functions = list(app._functions.values())
    modules = _modules([function.info for function in functions])
    _alias_main()
    images = ensure_images(client, [function.info.options.image or app.image for function in functions])
    files, source_id, root = _ship(client, modules)
    specs = [_spec(function.info, image, source_id) for function, image in zip(functions, images, strict=True)]
    published = client.call("Apps.Publish", AppPublishRequest(app_id=app_id, functions=specs), AppPublishResponse)
    main_is_shipped = _has_main_file() and any(module.__name__ == "__main__" for module in modules)
    for function, info in zip(functions, published.functions, strict=True):
        function._hydrate(Caller(client, info, by_reference=main_is_shipped, local_root=root))
        kind = "class" if isinstance(function.info, ClassDefinition) else "function"
        client.listener.screen.step(f"Created {kind} {function.info.name}")
        for own, url in _urls(info):
            client.listener.screen.step(f"Serving {own} at {url}")
    return files


def _urls(info: FunctionInfo) -> list[tuple[str, str]]:
    """Return the names and URLs of a function's, or a class's, web endpoints."""
    own = [(info.name, info.web_url)] if info.web_url else []
    return own + [(f"{info.name}.{method.name}", method.web_url) for method in info.methods if method.web_url]


def _modules(definitions: list[Definition]) -> list[Any]:
    """Return the modules that define functions, each once, unless their source is not wanted."""
    modules: dict[str, Any] = {}
    for definition in definitions:
        if definition.options.include_source and definition.module is not None:
            modules.setdefault(definition.function.__module__, definition.module)
    return list(modules.values())


def _alias_main() -> None:
    """Let a script's types have one identity here: containers name them by the script's own name."""
    main = sys.modules["__main__"]
    if _has_main_file():
        sys.modules.setdefault(importable_name("__main__"), main)


def _has_main_file() -> bool:
    return bool(getattr(sys.modules["__main__"], "__file__", None))


def _ship(client: "Client", modules: list[Any]) -> tuple[list[LocalFile], str, Path | None]:
    """Send the source that the service lacks; return the files, the id of the tree, and its root here."""
    files, root = source_files(modules)
    if not files:
        return [], "", root
    by_id = {file.blob_id: file for file in files}
    request = BlobMissingRequest(blob_ids=list(by_id))
    missing = client.call("Blobs.Missing", request, BlobMissingResponse).blob_ids
    started = time.monotonic()
    for blob_id in missing:
        client.blobs.put_file(blob_id, by_id[blob_id].local)
    tree = SourceTree(files=[_described(file) for file in files])
    source_id = client.call("Blobs.PutSource", tree, SourceInfo).source_id
    screen = client.listener.screen
    for file in files:
        screen.detail(f"source {file.path} ({file.size} bytes)")
    if missing:
        screen.step(f"Sent {len(missing)} of {len(files)} source files in {time.monotonic() - started:.1f} s")
    return files, source_id, root


def _described(file: LocalFile) -> SourceFile:
    return SourceFile(path=file.path, blob_id=file.blob_id, size=file.size, executable=file.executable)


def _spec(definition: Definition, image_id: str, source_id: str) -> FunctionSpec:
    spec = FunctionSpec(
        name=definition.name,
        image_id=image_id,
        source_id=source_id if definition.options.include_source else "",
        is_generator=definition.is_generator,
        is_async=definition.is_async,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
    )
    if definition.options.serialized:
        spec.serialized = _serialized(definition)
    elif definition.module_name == "__main__":
        raise InvalidError(
            f"{definition.name} was typed in, so there is no file to send: use @app.function(serialized=True)"
        )
    else:
        spec.module_name = definition.module_name
        spec.qualname = definition.function.__qualname__
    if isinstance(definition, ClassDefinition):
        spec.methods = definition.method_specs()
    elif definition.web is not None:
        spec.web = definition.web.message()
    definition.options.fill(spec)
    return spec


def _serialized(definition: Definition) -> Payload:
    """Pickle the function itself, by value."""
    import cloudpickle  # only for such functions

    try:
        data: bytes = cloudpickle.dumps(definition.shipped, _payload.PROTOCOL)
    except _payload.UNPICKLABLE as error:
        raise SerializationError(
            f"{definition.name} can't be sent: something that it uses can't be pickled ({error}); "
            "make or open it inside the function"
        ) from error
    if len(data) > MAX_SERIALIZED:
        raise InvalidError(
            f"{definition.name} is {len(data) >> 20} MiB with all that it refers to; at most "
            f"{MAX_SERIALIZED >> 20} MiB can be sent with a function: pass large data as arguments"
        )
    if len(data) > WARN_SERIALIZED:
        import warnings  # loaded with the interpreter

        warnings.warn(
            f"{definition.name} is {len(data) >> 10} KiB with all that it refers to: pass large data as arguments",
            UserWarning,
            stacklevel=2,
        )
    return Payload(format=Format.PICKLE, data=data, size=len(data))
