"""Apps. Checked, never executed."""

from typing import assert_type

import wherry

app = wherry.App("types", image=wherry.Image.debian_slim(), tags={"a": "b"})


@app.function(cpu=2, memory=(256, 512), gpu="T4", schedule=wherry.Period(hours=1), retries=2)
def fits() -> None: ...


@app.function(cpu="2")  # type: ignore[arg-type]
def of_wrong_type() -> None: ...


@app.function(memroy=1)  # type: ignore[arg-type]
def misspelt() -> None: ...


def lives() -> None:
    assert_type(wherry.App.lookup("a", create_if_missing=True), wherry.App)
    assert_type(app.deploy(name="a"), wherry.App)
    assert_type(app.name, str | None)
    assert_type(app.app_id, str | None)
    assert_type(app.get_tags(), dict[str, str])
    assert_type(app.stop(), None)
    assert_type(app.stats().functions["f"].counts.calls.failed, int)
    with app.run(detach=True) as running:
        assert_type(running, wherry.App)
    wherry.App(1)  # type: ignore[arg-type]


async def awaiting() -> None:
    assert_type(await wherry.App.lookup.aio("a"), wherry.App)
    assert_type((await app.stats.aio()).sandboxes.live, int)
    async with app.run.aio() as running:
        assert_type(running, wherry.App)
