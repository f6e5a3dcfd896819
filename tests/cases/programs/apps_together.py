"""An app includes another one; functions and classes are defined while it runs; tags; an app that stops itself."""

import wherry

COMMANDS = {"script": "python {file}", "run": "wherry run -q {file}", "function": "wherry run -q {file}::outer --x 1"}
EXPECTED = {
    "script": (0, "3 13\n7 8\n4 12\n{'a': 'b', 'team': 'x'}\n0\n"),
    "run": (0, "3 13\n"),
    "function": (0, "3\n"),
}

other = wherry.App("case-included", tags={"team": "x"})


@other.function()
def inner(x: int):
    return x + 1


@other.function()
def outer(x: int):
    return inner.remote(x) + 1


app = wherry.App("case-including", tags={"a": "b"}).include(other)


@app.function()
def whole(x):
    return outer.remote(x) + 10


@app.local_entrypoint()
def main():
    print(outer.remote(1), whole.remote(1))


if __name__ == "__main__":
    with app.run():
        main()

        @app.function()
        def late(x):
            return inner.remote(x) + 5

        @app.cls()
        class Late:
            @wherry.method()
            def run(self, x):
                return late.remote(x) + 1

        print(late.remote(1), Late().run.remote(1))

        @app.function()
        def late(x):
            return inner.remote(x) + 2

        print(late.remote(1), whole.remote(0))
        print(dict(sorted(app.get_tags().items())))
        app.stop()
    print(len(list(wherry.Sandbox.list())))
