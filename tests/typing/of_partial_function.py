"""What `@method` makes of a function in a class. Checked, never executed."""

from typing import assert_type

import wherry


class Model:
    @wherry.method()
    def predict(self, a: int) -> float:
        return a / 2

    @wherry.enter()
    def load(self) -> None: ...

    @wherry.exit()
    def leave(self) -> None: ...


assert_type(Model.predict, wherry.PartialFunction[[int], float])  # type: ignore[assert-type]  # the names are kept too
assert_type(Model().predict.remote(1), float)
