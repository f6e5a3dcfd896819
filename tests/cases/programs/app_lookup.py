"""A program that only has sandboxes gets an app for them by its name, and makes it where it is missing."""

import asyncio

import wherry

COMMANDS = {"lookup": "python {file}"}
EXPECTED = {
    "lookup": (
        0,
        "no app 'case-app-lookup' is deployed in environment 'main': deploy it, or pass create_if_missing=True\n"
        "True True\nhi\n1\n",
    )
}

if __name__ == "__main__":
    try:
        wherry.App.lookup("case-app-lookup")
    except wherry.exception.NotFoundError as error:
        print(error)
    app = wherry.App.lookup("case-app-lookup", create_if_missing=True)
    again = asyncio.run(wherry.App.lookup.aio("case-app-lookup", create_if_missing=True))
    print(app.app_id == again.app_id == wherry.App.lookup("case-app-lookup").app_id, bool(app.app_id))
    box = wherry.Sandbox.create("sh", "-c", "echo hi; sleep 60", app=app)
    print(next(iter(box.stdout)), end="")
    print(len(list(wherry.Sandbox.list(app_id=app.app_id))))
    box.terminate()
