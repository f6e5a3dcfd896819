"""Shared volumes, the older name of network file systems. Checked, never executed."""

from typing import assert_type

import wherry

own = wherry.SharedVolume()
assert_type(own.persist("a"), wherry.SharedVolume)
assert_type(wherry.SharedVolume.from_name("a"), wherry.SharedVolume)
assert_type(list(own.read_file("/a")), list[bytes])
own.persist(1)  # type: ignore[arg-type]
