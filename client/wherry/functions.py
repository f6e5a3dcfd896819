"""The names of the reference's `functions` module."""

from wherry.call import FunctionCall, gather
from wherry.context import current_function_call_id, current_input_id
from wherry.function import Function, FunctionStats

__all__ = ["Function", "FunctionCall", "FunctionStats", "current_function_call_id", "current_input_id", "gather"]
