"""Writes docs/configuration.md from the service's settings: `python -m docs.make_configuration [--check]`."""

from pathlib import Path

from docs.made_page import write
from wherry_service.settings import FIELDS, variable

PAGE = Path(__file__).parent / "configuration.md"
HEAD = """# Configuration

`wherry server run --config wherry.yaml` reads settings from a YAML file. A variable of the environment replaces the
key in the file. A value can also be in a file of its own: with `WHERRY_DATABASE_PASSWORD_FILE=/run/secrets/password`,
the password is read from that file. A key that is not in this table is an error.

`wherry config schema` prints a JSON schema of the file. Editors complete and check by it:

```
wherry config schema > wherry.schema.json
```

and as the first line of `wherry.yaml`: `# yaml-language-server: $schema=wherry.schema.json`.

This page is made from `service/wherry_service/settings.py` by `python -m docs.make_configuration`.

```yaml
listen:
  address: 0.0.0.0:7433
tls:
  certificate: /etc/wherry/tls/certificate.pem
  key: /etc/wherry/tls/key.pem
log:
  level: info
```

| key | variable | default | what |
|---|---|---|---|
"""
TAIL = """
`WHERRY_SECRET_KEY` is read only from the environment. It has the keys that secrets are encrypted with, 32 bytes in
base 64 each, separated by commas ([secrets](storage.md#secrets)). Unset: a key in the state directory.

## The client's settings

The SDK and the commands read these variables. If a variable is not set, they use the profile: `$WHERRY_PROFILE`,
else the active one of `~/.wherry.toml` (`$WHERRY_CONFIG_PATH`). `wherry config show` shows the settings in use.

| variable | key in a profile | what |
|---|---|---|
| `WHERRY_SERVER_URL` | `server_url` | `https://HOST:PORT`, or `unix:///path/to/wherry.sock`; unset: the local service |
| `WHERRY_TOKEN_ID`, `WHERRY_TOKEN_SECRET` | `token_id`, `token_secret` | the token; `wherry token new` creates one |
| `WHERRY_ENVIRONMENT` | `environment` | the environment; default `main` |
| `WHERRY_TLS_CA` | | PEM file of the authorities to trust instead of the system's |
| | `certificate` | PEM of the one certificate to trust (`wherry profile add --pin`) |
| `WHERRY_STATE_DIR` | | where the local service keeps everything |

A profile's secret is sent only to the profile's server: with another `WHERRY_SERVER_URL` the profile is not used.
"""


def page() -> str:
    """Return the page's text."""
    rows = []
    for key, item in FIELDS.items():
        value = item.default
        if isinstance(value, float) or (item.kind == "size" and value):
            value = (
                f"{value:g}"
                if isinstance(value, float)
                else (f"{value >> 30}GiB" if value >> 30 else f"{value >> 20}MiB")
            )
        default = "" if value in (None, "") else f"`{value}`"
        rows.append(f"| `{key}` | `{variable(key)}` | {default} | {item.doc} |\n")
    return HEAD + "".join(rows) + TAIL


if __name__ == "__main__":
    write(PAGE, page, "python -m docs.make_configuration", __doc__)
