"""Images. Checked, never executed."""

from typing import assert_type

import wherry

image = wherry.Image.debian_slim(python_version="3.12").pip_install("numpy").apt_install("git").env({"A": "1"})
assert_type(image, wherry.Image)
assert_type(image.run_commands("true"), wherry.Image)
assert_type(image.add_local_dir("a", "/a"), wherry.Image)
assert_type(image.build(), wherry.Image)
assert_type(wherry.Image.from_registry("a"), wherry.Image)
assert_type(wherry.Image.from_dockerfile("Dockerfile"), wherry.Image)
image.env({"A": 1})  # type: ignore[dict-item]
with image.imports():
    pass


async def awaiting() -> None:
    assert_type(await image.build.aio(), wherry.Image)
