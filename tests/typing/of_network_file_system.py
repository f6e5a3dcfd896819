"""Network file systems. Checked, never executed."""

from typing import assert_type

import wherry

files = wherry.NetworkFileSystem.from_name("a", create_if_missing=True)
assert_type(files, wherry.NetworkFileSystem)
assert_type(list(files.read_file("/a")), list[bytes])
assert_type(wherry.NetworkFileSystem.create_deployed("a"), str)
wherry.NetworkFileSystem.from_name(1)  # type: ignore[arg-type]
