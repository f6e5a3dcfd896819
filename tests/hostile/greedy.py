"""The app whose containers take memory without end."""

import wherry

app = wherry.App("greedy", image=wherry.Image.debian_slim())


@app.function(retries=0)
def greedy(mib: int) -> int:
    return take(mib)


@app.function(memory=(64, 512))
def roomy(mib: int) -> int:
    return take(mib)


def take(mib: int) -> int:
    held = [bytearray(b"x" * (1 << 20)) for _ in range(mib)]
    return len(held)
