"""The web endpoints that are measured."""

from typing import Any

import wherry

app = wherry.App("web-benchmark")
image = wherry.Image.debian_slim().pip_install("fastapi")
COLD_SITES = 12


@app.function(image=image, max_containers=1)
@wherry.concurrent(max_inputs=100)
@wherry.asgi_app()
def site() -> Any:
    """Serve the app from one container, as one process of uvicorn does."""
    return made()


def made() -> Any:
    """Return the app; each cold endpoint is this one under another name."""
    from benchmarks.web_app import api  # noqa: PLC0415 - start-up cost: the laptop that defines it need not have FastAPI

    return api


cold = [app.function(image=image, name=f"cold-{number}")(wherry.asgi_app()(made)) for number in range(COLD_SITES)]
