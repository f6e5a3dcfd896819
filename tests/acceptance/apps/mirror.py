"""An ASGI app that says what it was asked, and answers as it is told to; nothing is installed for it."""

import hashlib
import json
from typing import Any

import wherry

app = wherry.App("mirror")


async def mirror(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer with the scope and the body's hash, and the status and headers that the query has as JSON."""
    if scope["type"] != "http":
        return
    digest, size, more = hashlib.sha256(), 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        digest.update(event.get("body", b""))
        size += len(event.get("body", b""))
        more = event.get("more_body", False)
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode("latin-1"),
        "query_string": scope["query_string"].decode("latin-1"),
        "http_version": scope["http_version"],
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "size": size,
        "sha": digest.hexdigest(),
    }
    wanted = dict(scope["headers"]).get(b"x-wanted", b"{}")
    answer = {"status": 200, "headers": [], "pieces": 1, "sized": False, **json.loads(wanted)}
    # By HTTP's rules none follows these; an app that sends one all the same breaks uvicorn's connection.
    body = b"" if answer["status"] in (204, 304) else json.dumps(seen).encode()
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer["headers"]]
    if answer["sized"]:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer["status"], "headers": headers})
    step = -(-len(body) // answer["pieces"]) or 1
    for begin in range(0, len(body), step):
        await send({"type": "http.response.body", "body": body[begin : begin + step], "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@app.function(allow_concurrent_inputs=20)
@wherry.asgi_app()
def site() -> Any:
    return mirror
