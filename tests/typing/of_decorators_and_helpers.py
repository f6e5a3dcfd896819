"""What is called rather than made. Checked, never executed."""

from typing import Any, assert_type

import wherry

app = wherry.App("types")


@app.function()
@wherry.fastapi_endpoint(method="POST")
def endpoint(a: int) -> str:
    return str(a)


@app.function()
@wherry.concurrent(max_inputs=10)
@wherry.asgi_app(label="a")
def pages() -> Any: ...


@app.function()
@wherry.wsgi_app()
def older_pages() -> Any: ...


@app.function()
@wherry.web_server(8000, startup_timeout=5)
def site() -> None: ...


assert_type(pages.web_url, str)
assert_type(wherry.is_local(), bool)
assert_type(wherry.current_input_id(), str | None)
assert_type(wherry.current_function_call_id(), str | None)
wherry.concurrent(max_inputs="10")  # type: ignore[arg-type]
wherry.batched(max_batch_size=1, wait=5)  # type: ignore[call-arg]
wherry.web_server("8000")  # type: ignore[arg-type]
wherry.fastapi_endpoint(methd="POST")  # type: ignore[call-arg]
with wherry.enable_output():
    pass
