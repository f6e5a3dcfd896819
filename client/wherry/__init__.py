"""Wherry: put a decorator on a function, and it runs in a container.

Importing this costs a few milliseconds: gRPC, asyncio and the rest load when an app runs.
"""

from __future__ import annotations

from wherry import exception
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._base.version import __version__
from wherry.app import App, Stub
from wherry.context import current_function_call_id, current_input_id, is_local
from wherry.exception import Error
from wherry.function import Function
from wherry.image import Image
from wherry.retries import Retries

if TYPE_CHECKING:
    from wherry import call_graph, cls, functions, gpu
    from wherry._calling.interact import interact
    from wherry._classes.parameters import parameter
    from wherry._classes.partial import PartialFunction, enter, exit, method
    from wherry._classes.web import asgi_app, fastapi_endpoint, web_endpoint, web_server, wsgi_app
    from wherry.call import FunctionCall, gather
    from wherry.cloud_bucket_mount import CloudBucketMount
    from wherry.cls import Cls
    from wherry.concurrency import batched, concurrent
    from wherry.dict import Dict
    from wherry.mount import Mount
    from wherry.network_file_system import NetworkFileSystem
    from wherry.output import enable_output
    from wherry.queue import Queue
    from wherry.sandbox import Sandbox
    from wherry.schedule import Cron, Period
    from wherry.secret import Secret
    from wherry.volume import Volume

__all__ = [
    "App",
    "CloudBucketMount",
    "Cls",
    "Cron",
    "Dict",
    "Error",
    "Function",
    "FunctionCall",
    "Image",
    "Mount",
    "NetworkFileSystem",
    "PartialFunction",
    "Period",
    "Queue",
    "Retries",
    "Sandbox",
    "Secret",
    "Stub",
    "Volume",
    "__version__",
    "asgi_app",
    "batched",
    "call_graph",
    "cls",
    "concurrent",
    "current_function_call_id",
    "current_input_id",
    "enable_output",
    "enter",
    "exception",
    "exit",
    "fastapi_endpoint",
    "functions",
    "gather",
    "gpu",
    "interact",
    "is_local",
    "method",
    "parameter",
    "web_endpoint",
    "web_server",
    "wsgi_app",
]

_LAZY = {
    "FunctionCall": "wherry.call",
    "gather": "wherry.call",
    "interact": "wherry._calling.interact",
    "batched": "wherry.concurrency",
    "concurrent": "wherry.concurrency",
    "enable_output": "wherry.output",
    "Cls": "wherry.cls",
    "Sandbox": "wherry.sandbox",
    "Cron": "wherry.schedule",
    "Period": "wherry.schedule",
    "PartialFunction": "wherry._classes.partial",
    "Dict": "wherry.dict",
    "Queue": "wherry.queue",
    "Secret": "wherry.secret",
    "Volume": "wherry.volume",
    "NetworkFileSystem": "wherry.network_file_system",
    "Mount": "wherry.mount",
    "CloudBucketMount": "wherry.cloud_bucket_mount",
    "enter": "wherry._classes.partial",
    "exit": "wherry._classes.partial",
    "method": "wherry._classes.partial",
    "parameter": "wherry._classes.parameters",
    "asgi_app": "wherry._classes.web",
    "fastapi_endpoint": "wherry._classes.web",
    "web_endpoint": "wherry._classes.web",
    "web_server": "wherry._classes.web",
    "wsgi_app": "wherry._classes.web",
}


def __getattr__(name: str) -> Any:
    import importlib  # loaded with the interpreter

    if name in ("functions", "call_graph", "cls", "gpu"):
        return importlib.import_module(f"wherry.{name}")
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'wherry' has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)
