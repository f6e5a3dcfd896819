"""Classes with parameters, by their base. Checked, never executed."""

from typing import assert_type

import wherry

app = wherry.App("types")


@app.cls()
class Greeter(wherry.Parametrized):
    n: int = wherry.parameter()
    greeting: str = wherry.parameter(default="hello")
    shown: bool = wherry.parameter(default=True, init=False)

    @wherry.enter()
    def load(self) -> None:
        self.words = [self.greeting] * self.n

    @wherry.method()
    def greet(self, name: str) -> str:
        return f"{self.words}, {name}"


assert_type(Greeter(n=1).greet.remote("you"), str)
assert_type(Greeter(n=1, greeting="hi").n, int)
Greeter()  # type: ignore[call-arg]
Greeter(n="1")  # type: ignore[arg-type]
Greeter(n=1, shown=False)  # type: ignore[call-arg]
Greeter(n=1, gretting="hi")  # type: ignore[call-arg]
