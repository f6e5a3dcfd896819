"""What a receiver says to lines that it will never take."""


class Refused(Exception):
    """The same lines would be refused again; with `too_large`, fewer of them may be taken."""

    def __init__(self, why: str, too_large: bool = False) -> None:
        super().__init__(why)
        self.too_large = too_large
