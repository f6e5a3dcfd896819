"""What `pip install wherry[modal]` adds: `import modal` is Wherry where nothing else has that name.

Python imports this as it starts (wherry_modal.pth). It costs nothing until a program imports `modal` and there is none.
"""

import os
import sys


class LastFinder:
    """Is asked after all others: a real modal that is installed is found before."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """Return how to load `modal`; None for all else, and where WHERRY_MODAL=0 says no."""
        if name != "modal" or os.environ.get("WHERRY_MODAL") == "0":
            return None
        import wherry  # noqa: F401, PLC0415 - start-up cost: only for programs that import it
        from wherry._base import modal_name  # noqa: PLC0415 - start-up cost: as above

        modal_name.take("wherry[modal]")
        return modal_name.Finder.find_spec(name)


sys.meta_path.append(LastFinder)
