"""The names of the reference's `functions` module."""

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
    "method",
    "web_endpoint",
    "wsgi_app",
]
