"""Files of this machine. Checked, never executed."""

from typing import assert_type

import wherry

assert_type(wherry.Mount.from_local_dir("a", remote_path="/a"), wherry.Mount)
assert_type(wherry.Mount.from_local_python_packages("a", "b"), wherry.Mount)
wherry.Mount.from_local_python_packages(1)  # type: ignore[arg-type]
