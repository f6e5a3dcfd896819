"""An app whose container others would like to end, and what a build runs meanwhile."""

import wherry

app = wherry.App("victim", image=wherry.Image.debian_slim())
gate = wherry.Dict.from_name("gate", create_if_missing=True)


@app.function(timeout=120)
def wait(number: int) -> int:
    import time

    gate[number] = "runs"
    while "open" not in gate:
        time.sleep(0.1)
    return number


def nothing() -> None:
    """Its container ends at once."""
