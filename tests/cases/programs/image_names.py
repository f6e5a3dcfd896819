"""Images have names: published by a program or a command, used by other programs."""

import sys

import wherry

COMMANDS = {
    "program": "python {file} publish && python {file} use",
    "commands": """
        wherry image build -t case-built:v1 {file}::named >id 2>/dev/null &&
          wherry image build -t case-built:v1 {file}::named >/dev/null
        wherry image names list --prefix case-built --json | grep -c "$(cat id)"
        wherry image names history case-built:v1 --json | grep -c "$(cat id)"
        wherry image names delete case-built:v1 -y | cut -c 1-30
        wherry image names list --prefix case-built --json
    """,
}
EXPECTED = {
    "program": (0, "published\nit is there\nit is there\n"),
    "commands": (0, "1\n2\nDeleted the name case-built:v1\n[]\n"),
}

app = wherry.App("case-image-names")
named = wherry.Image.debian_slim().run_commands("echo built > /named")


@app.function(image=wherry.Image.from_name("case-published"))
def look() -> str:
    with open("/named") as file:
        return file.read().strip()


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        wherry.Image.debian_slim().run_commands("echo it is there > /named").publish("case-published:latest")
        print("published")
    else:
        with app.run():
            print(look.remote())
            box = wherry.Sandbox.create("cat", "/named", image=wherry.Image.from_name("case-published"), app=app)
            print(box.stdout.read().strip())
