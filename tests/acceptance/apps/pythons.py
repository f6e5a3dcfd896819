"""What a program with another Python calls."""

import wherry

app = wherry.App("pythons")


@app.function()
def call(function: object) -> object:
    assert callable(function)
    return function()
