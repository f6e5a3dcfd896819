"""Values of calls that were made with JSON, over HTTP: what Python makes of them."""

import base64
import json
from typing import Any

from wherry.exception import DeserializationError

# Bytes are written {"$bytes": BASE64}.
BYTES = "$bytes"


def load(data: bytes) -> Any:
    """Return the value; raise DeserializationError where it is no JSON."""
    try:
        return json.loads(data.decode(), object_hook=_object)
    except (ValueError, RecursionError) as error:
        raise DeserializationError(f"the value is not the JSON that it should be: {error}") from None


def _object(found: dict[str, Any]) -> Any:
    if len(found) == 1 and isinstance(found.get(BYTES), str):
        return base64.b64decode(found[BYTES], validate=True)
    return found
