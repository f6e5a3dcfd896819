"""What the API says of itself: an OpenAPI document, and a page for people. Both are made of the table that routes."""

import html
import json
import re
from typing import Any

from wherry_service import __version__
from wherry_service.http_api.routes import Parameter, Route

_KINDS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "whole": {"type": "integer", "minimum": 0},
    "seconds": {"type": "number", "minimum": 0},
    "flag": {"type": "boolean"},
}
_ANY_REQUEST = {
    400: "The request is wrong: the message says what is.",
    401: "There is no token, or it is not valid.",
    403: "The token does not allow that.",
    404: "What is asked for does not exist, or not in the token's environments.",
    429: "Too many log-ins have failed, or too many calls wait. Ask again later.",
}
_OF_BODIES = {408: "The body stopped coming.", 413: "The body has more than 8 MiB."}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["status", "code", "message"],
            "properties": {
                "status": {"type": "integer"},
                "code": {"type": "string", "description": "One word, for programs."},
                "message": {"type": "string"},
                "type": {"type": ["string", "null"], "description": "Of an exception of the function: its class."},
                "traceback": {"type": "array", "items": {"type": "string"}},
                "call_id": {"type": "string"},
            },
        }
    },
}
_INTRODUCTION = (
    'Every request has a token: `Authorization: Bearer ID:SECRET`. An error is `{"error": {"status", "code", '
    '"message"}}`. A stream is one JSON object a line (`application/x-ndjson`), or, with `Accept: '
    'text/event-stream`, the events of a browser\'s EventSource. Bytes are `{"$bytes": BASE64}`, both in arguments '
    "and in results."
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Wherry: HTTP API</title><link rel="stylesheet" href="docs.css"></head><body>
<h1>HTTP API</h1>
<p>{introduction}</p>
<p><a href="openapi.json">OpenAPI document</a></p>
<nav><ul>{contents}</ul></nav>
{routes}
</body></html>
"""
_STYLE = """:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:0 auto;padding:1rem}
code,pre{font:14px/1.45 ui-monospace,monospace;background:#8882;border-radius:4px}
code{padding:.1em .3em;overflow-wrap:anywhere}pre{padding:.7em;overflow-x:auto}pre code{background:none;padding:0}
h2{margin-top:2.5rem;font-size:1.15rem;border-top:1px solid #8885;padding-top:1rem;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25em .8em .25em 0}
nav ul{columns:2;padding-left:1rem}@media(max-width:40rem){nav ul{columns:1}}
"""
_CODE = re.compile(r"`([^`]*)`")
_SECURITY = (
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
    (b"referrer-policy", b"no-referrer"),
)

Document = tuple[str, bytes, list[tuple[bytes, bytes]]]


class Documents:
    """Serves them to everyone: they tell nothing of what the service has."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._routes = routes

    def find(self, method: str, parts: tuple[str, ...], root_path: str) -> Document | None:
        """Return a document's type, content and headers, None where the path is none's."""
        if method != "GET":
            return None
        if parts == ("openapi.json",):
            return "application/json", json.dumps(openapi(self._routes, root_path), indent=2).encode(), []
        if parts == ("docs",):
            return "text/html; charset=utf-8", page(self._routes).encode(), [*_SECURITY]
        if parts == ("docs.css",):
            return "text/css; charset=utf-8", _STYLE.encode(), []
        return None


def openapi(routes: tuple[Route, ...], root_path: str = "") -> dict[str, Any]:
    """Return the OpenAPI 3.1 document. `root_path`: what is in front of /v1."""
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Wherry", "version": __version__, "description": _INTRODUCTION},
        "servers": [{"url": f"{root_path}/v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "ID:SECRET"}},
            "schemas": {"Error": _ERROR},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "description": _described(route),
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.names),
            *({"name": one.name, "in": "query", "description": one.doc, "schema": _schema(one)} for one in route.query),
        ],
        "responses": {},
    }
    if route.body is not None:
        content = {"application/json": {"schema": {"type": "object"}, "example": route.body}}
        found["requestBody"] = {"required": False, "content": content}
    kind = "application/x-ndjson" if route.stream is not None else "application/json"
    answer: dict[str, Any] = {"schema": {}} if route.example is None else {"schema": {}, "example": route.example}
    if route.example is None:
        answer["schema"] = {"type": "array", "items": {"type": "object"}} if _is_list(route) else {"type": "object"}
    for status, text in sorted(_statuses(route).items()):
        if status < 300:
            found["responses"][str(status)] = {"description": text, "content": {kind: answer}}
            if route.stream is not None:
                found["responses"][str(status)]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
            continue
        schema = {"schema": {"$ref": "#/components/schemas/Error"}}
        found["responses"][str(status)] = {"description": text, "content": {"application/json": schema}}
    return found


def _statuses(route: Route) -> dict[int, str]:
    begun = 202 in route.statuses and route.method == "POST"
    done = {} if begun else {200: "Done."}
    return {**done, **_ANY_REQUEST, **(_OF_BODIES if route.body is not None else {}), **route.statuses}


def _is_list(route: Route) -> bool:
    return route.method == "GET" and "list" in route.summary.lower()


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema = dict(_KINDS[parameter.kind])
    if "minimum" in schema:
        schema["maximum"] = parameter.most
    return schema


def _operation_id(route: Route) -> str:
    words = [word.strip("{}") for word in route.path.strip("/").split("/")]
    return "_".join([route.method.lower(), *words])


def _described(route: Route) -> str:
    needs = f"The token needs the scope {route.needs}." if route.needs else ""
    return " ".join(part for part in (route.doc, needs) if part)


def page(routes: tuple[Route, ...]) -> str:
    """Return the page for people."""
    contents = "".join(
        f'<li><a href="#{_operation_id(route)}">{html.escape(f"{route.method} {route.path}")}</a></li>'
        for route in routes
    )
    return _PAGE.format(
        introduction=_marked(_INTRODUCTION), contents=contents, routes="".join(_section(route) for route in routes)
    )


def _section(route: Route) -> str:
    title = html.escape(f"{route.method} /v1{route.path}")
    parts = [f'<h2 id="{_operation_id(route)}"><code>{title}</code></h2>', f"<p>{_marked(route.summary)}</p>"]
    parts.append(f"<p>{_marked(_described(route))}</p>")
    if route.query:
        rows = "".join(f"<tr><td><code>{one.name}</code></td><td>{_marked(one.doc)}</td></tr>" for one in route.query)
        parts.append(f"<table><tr><th>parameter</th><th></th></tr>{rows}</table>")
    for what, example in (("The body:", route.body), ("The answer:", route.example)):
        if example is not None:
            text = html.escape(json.dumps(example, indent=2, ensure_ascii=False))
            parts.append(f"<p>{what}</p><pre><code>{text}</code></pre>")
    rows = "".join(
        f"<tr><td>{status}</td><td>{_marked(text)}</td></tr>" for status, text in sorted(route.statuses.items())
    )
    if rows:
        parts.append(f"<table><tr><th>status</th><th></th></tr>{rows}</table>")
    return "\n".join(parts)


def _marked(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", html.escape(text, quote=False))
