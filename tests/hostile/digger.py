"""The app whose containers leave traps in a volume."""

import wherry
from tests.hostile import inside

app = wherry.App("digger", image=wherry.Image.debian_slim())
volume = wherry.Volume.from_name("traps", create_if_missing=True)


@app.function(max_containers=1, volumes={"/v": volume}, timeout=600)
def attack(program: str, timeout_s: float) -> str:
    return inside.carry_out(program, timeout_s)


@app.function(volumes={"/below": volume.with_mount_options(sub_path="link")})
def below() -> list[str]:
    import os

    return sorted(os.listdir("/below"))
