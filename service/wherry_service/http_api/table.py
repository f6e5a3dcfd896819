"""All routes, with what is said of them."""

from typing import Any

from wherry_service.http_api import lists, logs
from wherry_service.http_api.calls import MOST_WAIT_S, CallRoutes
from wherry_service.http_api.routes import ENVIRONMENT, Parameter, Route
from wherry_service.http_api.targets import find

_APP = Parameter("app", "Only those of this app: its id or name.")
_ALL = Parameter("all", "Also those that have ended.", "flag")
_VERSION = Parameter("version", "The function as it was in this version of a deployed app.", "whole", 1 << 31)
_SINCE = Parameter("since_ms", "From then on, in milliseconds since 1970.", "whole")
_UNTIL = Parameter("until_ms", "Before then, in milliseconds since 1970.", "whole")
_CALL = (ENVIRONMENT, _VERSION)
_BODY = {"args": [2], "kwargs": {"y": 3}}
_CALL_ID = "fc-01JD5W0V7T9Q2M8Z4X6C1B3N5K"
_FAILED = {
    409: "The call was cancelled, or the function is called by Python programs alone.",
    500: "The function raised: `error` has `type`, `message` and `traceback`. Or its value is none that JSON can hold.",
    502: "The container could not start, or ended before it answered.",
    504: "The function ran over its timeout, or did not end within `wait`.",
}
_ANY = "deploy or invoke"


def routes_of(calls: CallRoutes) -> tuple[Route, ...]:
    """Return the table."""
    return (*_calls(calls), *_LISTS, _LOGS)


def _calls(calls: CallRoutes) -> tuple[Route, ...]:
    return (
        Route(
            "POST",
            "/functions/{app}/{name}/call",
            "Call a function and wait for its value.",
            "`name` is a function, or `Class.method`. The body has `args` (an array), `kwargs` (an object) and, for a "
            "class, `parameters` (an object); each may be left out. If the client goes away, the call is cancelled.",
            (*_CALL, Parameter("wait", "Seconds to wait; 150 if it is not given.", "seconds", MOST_WAIT_S)),
            body=_BODY,
            example={"call_id": _CALL_ID, "result": 5},
            statuses=_FAILED,
            needs="invoke",
            serve=calls.call,
            check=find,
        ),
        Route(
            "POST",
            "/functions/{app}/{name}/spawn",
            "Begin a call, and ask for its result later.",
            "The call goes on when the client is gone, and when the service restarts. Its result is kept for 7 days.",
            _CALL,
            body=_BODY,
            example={"call_id": _CALL_ID},
            statuses={202: "It has begun.", 503: "Nobody said in time that it has begun; with `call_id`: ask for it."},
            needs="invoke",
            serve=calls.spawn,
            check=find,
        ),
        Route(
            "POST",
            "/functions/{app}/{name}/stream",
            "Call a function that yields values, and get each as it comes.",
            "The answer is a stream (see above) of the events `value` and, at last, `end` or `error`.",
            _CALL,
            body={"args": [3]},
            example={"value": 0},
            statuses=_FAILED,
            needs="invoke",
            stream=calls.stream,
            check=find,
        ),
        Route(
            "GET",
            "/calls/{call_id}",
            "Show how a call stands, and its result.",
            "`state` is `running`, `succeeded`, `failed` or `cancelled`. A failed call has `error`. The answer to a "
            "call that failed is 200, too: it is the call that failed, not the request.",
            (
                Parameter("wait", "Seconds to wait for its end; 0 if it is not given.", "seconds", MOST_WAIT_S),
                Parameter("index", "Of a call with many inputs: which one's result.", "whole", (1 << 32) - 1),
            ),
            example={
                "call_id": _CALL_ID,
                "state": "succeeded",
                "function_id": "fu-01JD5W0V7T9Q2M8Z4X6C1B3N5K",
                "inputs": 1,
                "done": 1,
                "result": 5,
            },
            statuses={202: "It has not ended.", 409: "Its result is Python's.", 410: "Its result is no longer kept."},
            needs="invoke",
            serve=calls.show,
        ),
        Route(
            "GET",
            "/calls/{call_id}/stream",
            "Get what a spawned generator yields: what there is, and each value as it comes.",
            "The answer is a stream (see above) of the events `value` and, at last, `end` or `error`.",
            (Parameter("after", "The number of the last value that the client has."),),
            example={"value": 0},
            needs="invoke",
            stream=calls.values,
        ),
        Route(
            "POST",
            "/calls/{call_id}/cancel",
            "End a call: what waits is dropped, what runs is interrupted.",
            example={"call_id": _CALL_ID},
            statuses={202: "It is being ended."},
            needs="invoke",
            serve=calls.cancel,
        ),
    )


def _list(
    path: str, summary: str, serve: Any, query: tuple[Parameter, ...], command: str, needs: str = _ANY, doc: str = ""
) -> Route:
    said = f"As `wherry {command} --json` prints it." + (f" {doc}" if doc else "")
    return Route("GET", path, summary, said, query, needs=needs, serve=serve)


_LISTS = (
    _list("/apps", "List apps, the latest first.", lists.apps, (ENVIRONMENT, _ALL), "app list"),
    _list(
        "/apps/{app}/versions", "List the versions of an app, the latest first.", lists.versions, (ENVIRONMENT,),
        "app history APP",
    ),
    _list("/functions", "List the functions of running apps.", lists.functions, (ENVIRONMENT, _APP), "function list"),
    _list(
        "/functions/{app}/{name}", "Show a function: its settings, URLs and next runs.", lists.function, _CALL,
        "function info APP/NAME",
    ),
    _list(
        "/calls",
        "List what became of calls, the latest first.",
        lists.calls,
        (
            ENVIRONMENT,
            _APP,
            Parameter("function", "Only those of this function: its id or name."),
            Parameter("call", "Only the inputs of this call."),
            Parameter("container", "Only what this container ran."),
            Parameter("state", "Only these states, with commas between them: `failed,timeout`."),
            Parameter("kind", "Only these kinds, with commas between them: `spawn,schedule`."),
            _SINCE,
            _UNTIL,
            Parameter("search", "Part of the error's first line."),
            Parameter("limit", "How many, at most 1,000; 100 if it is not given.", "whole", lists.MAX_RECORDS),
            Parameter("after", "Where to go on: what the answer's header `Wherry-Next` says."),
        ),
        "call list",
        doc="If there is more, the header `Wherry-Next` says so.",
    ),
    _list("/containers", "List the containers of functions.", lists.containers, (ENVIRONMENT, _APP), "container list"),
    _list("/images", "List images, the latest used first.", lists.images, (), "image list", "deploy"),
    _list(
        "/sandboxes", "List sandboxes.", lists.sandboxes, (ENVIRONMENT, _APP, _ALL), "sandbox list", "deploy and invoke"
    ),
    _list("/schedules", "List functions that have a schedule.", lists.schedules, (ENVIRONMENT, _APP), "schedule list"),
    _list(
        "/secrets", "List secrets: the names of their values, and no values.", lists.secrets, (ENVIRONMENT,),
        "secret list", "deploy",
    ),
    _list("/dicts", "List dicts.", lists.dicts, (ENVIRONMENT,), "dict list"),
    _list("/queues", "List queues.", lists.queues, (ENVIRONMENT,), "queue list"),
    _list("/volumes", "List volumes.", lists.volumes, (ENVIRONMENT,), "volume list"),
    _list(
        "/environments", "List environments.", lists.environments, (), "environment list",
        doc="Without `current`, which is the command's own.",
    ),
    _list("/tokens", "List tokens, without their secrets.", lists.tokens, (_ALL,), "token list", "admin"),
    _list("/tokens/own", "Show the token of the request.", lists.who, (), "token info"),
    _list(
        "/audit",
        "List who did what, the latest first.",
        lists.audit,
        (Parameter("limit", "How many; 100 if it is not given.", "whole", 10_000),),
        "audit list",
        "admin",
    ),
)  # fmt: skip
_LOGS = Route(
    "GET",
    "/logs",
    "Get what containers print, as it is kept and as it comes.",
    "The answer is a stream (see above) of lines as `wherry app logs --json` prints them.",
    (
        ENVIRONMENT,
        Parameter("app", "The app: its id or name."),
        Parameter("container", "The container, instead of an app or beside it."),
        Parameter("function", "Only what this function printed: its id or name."),
        Parameter("call", "Only what was printed for this call."),
        _SINCE,
        _UNTIL,
        Parameter("tail", "Only so many, the latest.", "whole", (1 << 32) - 1),
        Parameter("search", "Only lines with this text."),
        Parameter("stream", "Only `stdout`, `stderr` or `system`."),
        Parameter("follow", "Go on with lines as they come, until the app has ended.", "flag"),
        Parameter("after", "Only lines after this position."),
    ),
    example={
        "at": "2026-01-31T19:30:00.000+00:00",
        "stream": "stdout",
        "text": "hello",
        "app_id": "ap-01JD5W0V7T9Q2M8Z4X6C1B3N5K",
        "function_id": "fu-01JD5W0V7T9Q2M8Z4X6C1B3N5K",
        "container_id": "co-01JD5W0V7T9Q2M8Z4X6C1B3N5K",
        "call_id": None,
        "input_id": None,
        "goes_on": False,
    },
    needs="deploy",
    stream=logs.read,
)
