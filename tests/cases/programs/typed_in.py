"""What no file has is sent itself: typed into a shell, from standard input, `python -c`, `exec` or a doctest."""

import sys

import wherry

TYPED = """
import wherry
app = wherry.App("case-typed-in")

@app.function()
def inner(x):
    return x * 10

@app.function()
def outer(x):
    return x + 1 + inner.remote(x)

@app.cls()
class Made:
    @wherry.method()
    def by(self, x): return inner.remote(x)

@app.function()
def of_class(x):
    return Made().by.remote(x)

less = app.function(name="less")(lambda x: x - 1)

class Value: pass

@app.function()
def knows(value, more=None):
    return isinstance(value, Value), value

with app.run():
    print("=", outer.remote(1), of_class.remote(2), less.remote(3))
    if __name__ != "made_by_hand":  # arguments of its types are named, and no container has it
        known = [knows.remote(Value()), knows.remote(Value(), lambda: 1)]
        print("=", *((there, isinstance(back, Value)) for there, back in known))

"""
DOCTEST = '''"""
>>> import wherry
>>> app = wherry.App("case-doctest")
>>> @app.function()
... def f(x):
...     return x + 1
>>> @app.cls()
... class Made:
...     @wherry.method()
...     def by(self, x): return f.remote(x)
>>> with app.run():
...     print(f.remote(1), Made().by.remote(4))
2 5
"""
'''
COMMANDS = {
    "shell": "python {file} typed | python -i 2>/dev/null | grep '^= '",
    "input": "python {file} typed | python -",
    "command": 'python -c "$(python {file} typed)"',
    "exec": "python {file} exec other_name",
    "exec as main": "python {file} exec __main__",
    "exec without a name": "python {file} exec",
    "module by hand": "python {file} module",
    "doctest": "python {file} doctest > tested.py && python -m doctest tested.py",
}
EXPECTED = {
    "shell": (0, "= 12 20 2\n= (True, True) (True, True)\n"),
    "input": (0, "= 12 20 2\n= (True, True) (True, True)\n"),
    "command": (0, "= 12 20 2\n= (True, True) (True, True)\n"),
    "exec": (0, "= 12 20 2\n= (True, True) (True, True)\n"),
    "exec as main": (0, "= 12 20 2\n= (True, True) (True, True)\n"),
    "exec without a name": (0, "= 12 20 2\n= (True, True) (True, True)\n"),
    "module by hand": (0, "= 12 20 2\n"),
    "doctest": (0, ""),
}


def main(what: str, *names: str) -> None:
    code = compile(TYPED, "<typed>", "exec")
    if what == "exec":
        exec(code, dict(zip(["__name__"], names, strict=False)))
    elif what == "module":
        made = type(wherry)("made_by_hand")
        sys.modules["made_by_hand"] = made
        exec(code, vars(made))
    else:
        print(TYPED if what == "typed" else DOCTEST)


if __name__ == "__main__":
    main(*sys.argv[1:])
