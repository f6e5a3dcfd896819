"""The names of the reference's `functions` module."""

from __future__ import annotations

from wherry._base.hints import Any
from wherry._calling.scaling import FunctionAutoscalerManager
from wherry._calling.stats import FunctionStats
from wherry._classes.partial import PartialFunction, method
from wherry._classes.web import asgi_app, web_endpoint, wsgi_app
from wherry.call import FunctionCall, gather
from wherry.context import current_function_call_id, current_input_id
from wherry.function import Function

__all__ = [
    "Function",
    "FunctionAutoscalerManager",
    "FunctionCall",
    "FunctionStats",
    "PartialFunction",
    "asgi_app",
    "current_function_call_id",
    "current_input_id",
    "gather",
    "lookup",
    "method",
    "web_endpoint",
    "wsgi_app",
]


def lookup(
    app_name: str, tag: str | None = None, namespace: Any = None, environment_name: str | None = None
) -> Function[..., Any]:
    """As `Function.lookup(app_name, tag)`, its spelling of early 2023; without `tag` the app's only function.

    Raises NotFoundError where there is none. (reference: lookup)
    """
    found: Function[..., Any] = Function.lookup(app_name, tag, environment_name=environment_name)
    return found
