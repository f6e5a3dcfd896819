"""Functions by their names, and how commands show them."""

from wherry._connection.client import default_client
from wherry.cli._ids import whole
from wherry.cli._usage import UsageError
from wherry_proto.messages import (
    AppShowRequest,
    AppShowResponse,
    FunctionInfo,
    FunctionLookupRequest,
    FunctionStatus,
)


def split_name(function: str) -> tuple[str, str]:
    """Return app and function of "APP/FUNCTION"; raise UsageError for anything else."""
    app_name, _, name = function.partition("/")
    if not name:
        raise UsageError(f"{function!r} is neither an id (fu-…) nor APP/FUNCTION")
    return app_name, name


def find_function(function: str, environment: str | None) -> FunctionInfo:
    """Return a function of a running app by its id, or by APP/FUNCTION; raise NotFoundError or UsageError."""
    client = default_client()
    if function.startswith("fu-"):
        request = FunctionLookupRequest(function_id=whole(function, environment, prefix="fu"))
    else:
        app_name, name = split_name(function)
        request = FunctionLookupRequest(
            app_name=app_name, name=name.removesuffix(".*"), environment=environment or client.environment
        )
    return client.call("Functions.Lookup", request, FunctionInfo)


def status_of(info: FunctionInfo) -> FunctionStatus | None:
    """Return how a function of a running app does; None for a variant of another one."""
    shown = default_client().call("Apps.Show", AppShowRequest(app_id=info.app_id), AppShowResponse)
    own = [one for one in shown.functions if one.function and one.function.function_id == info.function_id]
    return own[0] if own else None


def function_of(status: FunctionStatus) -> FunctionInfo:
    """Return what a function is called, and its URLs."""
    assert status.function is not None
    return status.function
