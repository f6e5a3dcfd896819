"""A module that only imports where it was written."""

import wherry

app = wherry.App("broken", image=wherry.Image.debian_slim())

if not wherry.is_local():
    import no_such_package_anywhere  # noqa: F401


@app.function()
def never() -> None:
    """Does not come to this."""
