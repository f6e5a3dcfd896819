"""A class with parameters has web endpoints: a request's query says which object answers, by the same containers."""

import json
import urllib.error
import urllib.request

import wherry

COMMANDS = {"run": "wherry run -q {file}"}
EXPECTED = {
    "run": (
        0,
        "6\n[5, 'hi', True, 'q=1&x=5']\n[7, 'ho', False, 'x=7&greeting=ho']\nTrue True\n"
        "422 Unprocessable Entity: Site.web needs x= in the query of the URL, for example ?x=... (int)\n"
        "422 Unprocessable Entity: Site.web got x='five' in the query of the URL: it must be int\nplain 5\n",
    )
}

app = wherry.App("case-by-query")


@app.cls(image=wherry.Image.debian_slim().pip_install("fastapi"))
class Site:
    x: int = wherry.parameter()
    greeting: str = wherry.parameter(default="hi")

    @wherry.method()
    def f(self):
        import os

        self.pid = os.getpid()
        return self.x + 1

    @wherry.method()
    def where(self):
        import socket

        return socket.gethostname()

    @wherry.asgi_app()
    def web(self):
        import socket

        async def answer(scope, receive, send):
            said = [self.x, self.greeting, hasattr(self, "pid"), scope["query_string"].decode(), socket.gethostname()]
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(said).encode()})

        return answer


@app.cls()
class Default:
    x: int = wherry.parameter(default=5)

    @wherry.asgi_app()
    def web(self):
        async def answer(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": f"plain {self.x}".encode()})

        return answer


def ask(url):
    name, _, rest = url.partition("://")[2].partition("/")
    port = name.partition(":")[2]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{rest}", headers={"Host": name})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode().splitlines()[-1]


@app.local_entrypoint()
def main():
    five = Site(x=5)
    print(five.f.remote())
    base = five.web.web_url.partition("?")[0]
    _, text = ask(f"{base}/?q=1&x=5")
    *said, where = json.loads(text)
    print(said)
    _, text = ask(f"{base}/path?x=7&greeting=ho")
    print(json.loads(text)[:-1])
    print(where == five.where.remote(), five.web.get_web_url() == f"{base}?x=5")
    for query in ("", "?x=five"):
        print(ask(f"{base}/{query}")[1])
    print(ask(Default().web.web_url + "/?x=5")[1])
