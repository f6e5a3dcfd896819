"""A small app that tests start and stop."""

import wherry

app = wherry.App("short")


@app.function()
def hello(name: str) -> str:
    return f"hello, {name}"
