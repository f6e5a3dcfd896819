"""Patterns of files. Checked, never executed."""

from pathlib import Path
from typing import assert_type

import wherry

matcher = wherry.FilePatternMatcher("*.py", "!a.py")
assert_type(matcher(Path("a.py")), bool)
assert_type(wherry.FilePatternMatcher.from_file(".gitignore"), wherry.FilePatternMatcher)
wherry.FilePatternMatcher(1)  # type: ignore[arg-type]
