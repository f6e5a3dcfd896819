"""Wherry: put a decorator on a function, and it runs in a container.

Importing this costs a few milliseconds: gRPC, asyncio and the rest load when an app runs.
"""

from __future__ import annotations

import os
import sys

from wherry import exception as exception
from wherry._base.hints import TYPE_CHECKING, Any
from wherry.app import App as App
from wherry.app import Stub as Stub
from wherry.context import current_function_call_id as current_function_call_id
from wherry.context import current_input_id as current_input_id
from wherry.context import is_local as is_local
from wherry.exception import Error as Error
from wherry.function import Function as Function

if TYPE_CHECKING:
    # What type checkers see of the table below.
    from wherry import billing as billing
    from wherry import call_graph as call_graph
    from wherry import cls as cls
    from wherry import experimental as experimental
    from wherry import functions as functions
    from wherry import gpu as gpu
    from wherry._base.version import __version__ as __version__
    from wherry._calling.interact import interact as interact
    from wherry._classes.parameters import parameter as parameter
    from wherry._classes.parametrized import Parametrized as Parametrized
    from wherry._classes.partial import PartialFunction as PartialFunction
    from wherry._classes.partial import build as build
    from wherry._classes.partial import enter as enter
    from wherry._classes.partial import exit as exit
    from wherry._classes.partial import method as method
    from wherry._classes.web import asgi_app as asgi_app
    from wherry._classes.web import fastapi_endpoint as fastapi_endpoint
    from wherry._classes.web import web_endpoint as web_endpoint
    from wherry._classes.web import web_server as web_server
    from wherry._classes.web import wsgi_app as wsgi_app
    from wherry.call import FunctionCall as FunctionCall
    from wherry.call import gather as gather
    from wherry.client import Client as Client
    from wherry.cloud_bucket_mount import CloudBucketMount as CloudBucketMount
    from wherry.cls import Cls as Cls
    from wherry.cluster import Cluster as Cluster
    from wherry.cluster import clustered as clustered
    from wherry.concurrency import batched as batched
    from wherry.concurrency import concurrent as concurrent
    from wherry.concurrency import sessioned as sessioned
    from wherry.dict import Dict as Dict
    from wherry.environments import Environment as Environment
    from wherry.file_pattern_matcher import FilePatternMatcher as FilePatternMatcher
    from wherry.functions import lookup as lookup
    from wherry.image import Image as Image
    from wherry.mount import Mount as Mount
    from wherry.mount import create_package_mounts as create_package_mounts
    from wherry.network_file_system import NetworkFileSystem as NetworkFileSystem
    from wherry.output import enable_output as enable_output
    from wherry.proxy import Proxy as Proxy
    from wherry.queue import Queue as Queue
    from wherry.retries import Retries as Retries
    from wherry.sandbox import Probe as Probe
    from wherry.sandbox import Sandbox as Sandbox
    from wherry.sandbox_snapshot import SandboxSnapshot as SandboxSnapshot
    from wherry.schedule import Cron as Cron
    from wherry.schedule import Period as Period
    from wherry.scheduler_placement import SchedulerPlacement as SchedulerPlacement
    from wherry.secret import Secret as Secret
    from wherry.server import Server as Server
    from wherry.shared_volume import SharedVolume as SharedVolume
    from wherry.tunnel import Tunnel as Tunnel
    from wherry.tunnel import forward as forward
    from wherry.volume import Volume as Volume
    from wherry.workspace import Workspace as Workspace

# Names that are loaded when first asked for, and the module that has each; "": the name is a module of wherry.
_LAZY = {
    "Client": "client",
    "CloudBucketMount": "cloud_bucket_mount",
    "Cls": "cls",
    "Cluster": "cluster",
    "Cron": "schedule",
    "Dict": "dict",
    "Environment": "environments",
    "FilePatternMatcher": "file_pattern_matcher",
    "FunctionCall": "call",
    "Image": "image",
    "Mount": "mount",
    "NetworkFileSystem": "network_file_system",
    "Parametrized": "_classes.parametrized",
    "PartialFunction": "_classes.partial",
    "Period": "schedule",
    "Proxy": "proxy",
    "Probe": "sandbox",
    "Queue": "queue",
    "Retries": "retries",
    "Sandbox": "sandbox",
    "SandboxSnapshot": "sandbox_snapshot",
    "Tunnel": "tunnel",
    "SchedulerPlacement": "scheduler_placement",
    "Secret": "secret",
    "Server": "server",
    "SharedVolume": "shared_volume",
    "Volume": "volume",
    "Workspace": "workspace",
    "__version__": "_base.version",
    "asgi_app": "_classes.web",
    "batched": "concurrency",
    "billing": "",
    "build": "_classes.partial",
    "call_graph": "",
    "cls": "",
    "clustered": "cluster",
    "concurrent": "concurrency",
    "create_package_mounts": "mount",
    "enable_output": "output",
    "enter": "_classes.partial",
    "exit": "_classes.partial",
    "experimental": "",
    "fastapi_endpoint": "_classes.web",
    "forward": "tunnel",
    "functions": "",
    "gather": "call",
    "gpu": "",
    "interact": "_calling.interact",
    "lookup": "functions",
    "method": "_classes.partial",
    "parameter": "_classes.parameters",
    "sessioned": "concurrency",
    "web_endpoint": "_classes.web",
    "web_server": "_classes.web",
    "wsgi_app": "_classes.web",
}

# Those that are there at once. Type checkers go by what is imported as itself.
_EAGER = (
    "App", "Error", "Function", "Stub", "current_function_call_id", "current_input_id", "exception", "is_local",
)  # fmt: skip
if not TYPE_CHECKING:
    __all__ = [*_EAGER, *_LAZY]  # noqa: PLE0604 - they are strings


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module:
        return getattr(_loaded(f"wherry.{module}"), name)
    if not name.startswith("_"):
        try:
            # Programs use modules of the reference's that they have not imported: some other has, there.
            return _loaded(f"wherry.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"wherry.{name}":
                raise
    raise AttributeError(f"module 'wherry' has no attribute {name!r}")


def _loaded(name: str) -> Any:
    # Not importlib's: that and warnings, which it loads, would be a tenth of what a container has of Wherry.
    __import__(name)
    return sys.modules[name]


def __dir__() -> list[str]:
    # What is public; of the rest only what Python itself puts there.
    return sorted({*(name for name in globals() if name.startswith("__")), *_EAGER, *_LAZY})


class _Moved:
    """Finds modules that have moved, for pickles of before; Python asks it when it finds none by itself."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> Any:
        if not name.startswith("wherry._"):
            return None
        from wherry._base.moved import spec_of  # noqa: PLC0415 - start-up cost: only for such pickles

        return spec_of(name)


sys.meta_path.append(_Moved)

if not is_local():
    from wherry._connection.localhost import resolve

    resolve()
    del resolve

if "IPython" in sys.modules:
    from wherry._connection.notebook import hide_internals_in_ipython

    hide_internals_in_ipython()

if os.environ.get("WHERRY_MODAL"):
    from wherry._base import modal_name

    if modal_name.is_wanted():
        modal_name.take("WHERRY_MODAL")
