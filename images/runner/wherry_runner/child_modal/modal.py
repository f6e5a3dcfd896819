"""What `import modal` finds first in Python processes that code in a container starts, where that name means Wherry.

Wherry takes the name as it is imported (`WHERRY_MODAL` is set), and the import system returns what it finds here then.
"""

import sys

del sys.modules["modal"]
import wherry  # noqa: E402

sys.modules["modal"] = wherry
