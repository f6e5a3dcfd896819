"""What a call is for: a function, or a method of a class, by its names."""

from typing import NamedTuple

from wherry_proto.messages import Format, FunctionBindRequest, FunctionInfo, FunctionLookupRequest, Payload
from wherry_service.api.callers import ask
from wherry_service.errors import NotFound
from wherry_service.http_api.problems import Problem, invalid
from wherry_service.http_api.routes import Request


class Target(NamedTuple):
    """Who is called."""

    function_id: str
    # Of a class; "" for a function.
    method: str
    yields: bool
    # "APP/NAME", for errors.
    name: str


async def look_up(request: Request) -> FunctionInfo:
    """Return the function, or the class, that a path names, and of "Class.method" the class."""
    name = request.places["name"]
    try:
        return await _found(request, name)
    except NotFound:
        class_name, _, method = name.rpartition(".")
        if not class_name:
            raise
        info = await _found(request, class_name)
        if method not in {one.name for one in info.methods}:
            raise NotFound(_no_method(info, method)) from None
        return info


async def _found(request: Request, name: str) -> FunctionInfo:
    asked = FunctionLookupRequest(
        app_name=request.places["app"],
        name=name,
        environment=request.environment,
        version=request.whole("version"),
    )
    info: FunctionInfo = await ask(request.caller, "Functions.Lookup", asked)
    return info


async def find(request: Request) -> Target:
    """Return who is called, a class without parameters; raise `Problem`, `NotFound` and what else refuses."""
    info = await look_up(request)
    name = f"{request.places['app']}/{request.places['name']}"
    methods = {one.name: one for one in info.methods}
    method = "" if info.name == request.places["name"] else request.places["name"].rpartition(".")[2]
    if methods and not method:
        raise invalid(f"{name} is a class: name one of its methods, {', '.join(f'{name}.{one}' for one in methods)}")
    url = methods[method].web_url if method else info.web_url
    if url:
        raise Problem(400, "web_endpoint", f"{name} is a web endpoint, which answers requests at {url}", url=url)
    yields = methods[method].is_generator if method else info.is_generator
    return Target(info.function_id, method, yields, name)


async def bind(request: Request, found: Target, parameters: bytes | None) -> Target:
    """Return who is called with these parameters of a class, as JSON; raise `Problem` and what else refuses."""
    if parameters is not None and not found.method:
        raise invalid(f"{found.name} is a function: only classes have parameters")
    if not parameters:
        return found
    payload = Payload(format=Format.JSON, data=parameters, size=len(parameters))
    asked = FunctionBindRequest(function_id=found.function_id, parameters=payload)
    bound: FunctionInfo = await ask(request.caller, "Functions.Bind", asked)
    return found._replace(function_id=bound.function_id)


def _no_method(info: FunctionInfo, method: str) -> str:
    known = ", ".join(one.name for one in info.methods)
    if not known:
        return f"{info.app_name}/{info.name} is a function: it has no method {method[:64]!r}"
    return f"class {info.app_name}/{info.name} has no method {method[:64]!r}: it has {known}"
