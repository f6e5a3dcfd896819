"""Servers. Checked, never executed."""

from typing import assert_type

import wherry

app = wherry.App("types")


@app.server(port=8000, max_containers=2)
class Site:
    @wherry.enter()
    def start(self) -> None: ...


assert_type(wherry.Server.from_name("app", "Site"), wherry.Server)
assert_type(wherry.Server.from_name("app", "Site").get_url(), str | None)


@app.server(port="8000")  # type: ignore[arg-type]
class OfWrongType: ...


@app.server(prot=8000)  # type: ignore[call-arg]
class Misspelt: ...
