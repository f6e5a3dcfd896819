"""The app whose containers are hostile."""

import wherry
from tests.hostile import inside

app = wherry.App("attacker", image=wherry.Image.debian_slim())


@app.function(max_containers=1, timeout=600)
def attack(program: str, timeout_s: float) -> str:
    return inside.carry_out(program, timeout_s)


def build(folder: str) -> None:
    """A step of an image's build that attacks for as long as it is told to, and is then no image."""
    inside.serve_files(folder)
    raise SystemExit(3)
