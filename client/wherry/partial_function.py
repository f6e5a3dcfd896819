"""The names of the reference's `partial_function` module."""

from wherry._classes.partial import PartialFunction, build, enter, exit, method
from wherry._classes.web import asgi_app, fastapi_endpoint, web_endpoint, web_server, wsgi_app
from wherry.cluster import clustered
from wherry.concurrency import batched, concurrent, sessioned

__all__ = [
    "PartialFunction",
    "asgi_app",
    "batched",
    "build",
    "clustered",
    "concurrent",
    "enter",
    "exit",
    "fastapi_endpoint",
    "method",
    "sessioned",
    "web_endpoint",
    "web_server",
    "wsgi_app",
]
