"""A service that is reached over TCP: asked once whether it is there, so that nobody waits for one that never was."""

import threading
from typing import cast

from wherry._connection.settings import Settings
from wherry._connection.transport.transport import Transport
from wherry.exception import ConnectionError
from wherry_proto.messages import ServerInfo, ServerInfoRequest

ANSWER_WITHIN_S = 10.0


class RemoteServer:
    """Implements `client.Server` for a service that somebody else starts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._met = False

    def ensure(self, transport: Transport) -> bool:
        """Raise ConnectionError unless the service has answered once, AuthError if it does not know the token."""
        with self._lock:
            if not self._met:
                try:
                    cast("ServerInfo", transport.call("Server.Info", ServerInfoRequest(), timeout=ANSWER_WITHIN_S))
                except ConnectionError as error:
                    raise ConnectionError(self._told(str(error))) from None
                self._met = True
        return False

    def revive(self, transport: Transport) -> None:
        """Do nothing: it comes back by itself, or not."""

    def _told(self, error: str) -> str:
        profile = self._settings.profile
        where = self._settings.server_url + (f" (profile {profile!r})" if profile else " (WHERRY_SERVER_URL)")
        if "CERTIFICATE_VERIFY_FAILED" in error:
            return (
                f"the certificate of {where} is not one that is trusted here: pin it with `wherry profile add NAME "
                "--url URL --pin`, or name its authorities' file in WHERRY_TLS_CA"
            )
        if "WRONG_VERSION_NUMBER" in error or "TLS" in error:
            return f"what answers at {where} does not speak TLS as expected: is it the service's address? ({error})"
        return f"no service answers at {where}: is it running, and can it be reached from here? ({error})"
