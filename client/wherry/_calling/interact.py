"""The terminal of who runs the app, for the code of its functions."""

from __future__ import annotations

import sys

from wherry._base.blocking import Bound
from wherry._connection.client import default_client
from wherry.context import current_input_id, is_local
from wherry.exception import InvalidError
from wherry_proto.messages import TerminalAsk, TerminalAskResponse


def _interact() -> None:
    """Join this function to the terminal at which `wherry run -i` runs, until its input ends. (reference: interact)

    Standard input, output and error are that terminal then, for `input()`, `code.interact()`, full-screen programs.
    `breakpoint()` does it by itself. Waits while another input has the terminal.

    Raises InvalidError outside a function's container, and where there is no terminal.
    """
    if is_local() or current_input_id() is None:
        raise InvalidError("interact() joins a function in a container to the terminal: call it in the function's code")
    client = default_client()

    def ask(socket: str) -> None:
        client.call("Terminals.Ask", TerminalAsk(socket=socket), TerminalAskResponse)

    sys.modules["wherry_runner.context"].terminal.join(ask)


interact: Bound[[], None] = Bound((), _interact, None)
