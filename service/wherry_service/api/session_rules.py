"""What of a session is let through, for holders of tokens and for code in containers alike."""

import asyncio
from collections.abc import Callable, Iterable

from wherry_proto.messages import CallStart, CallState, Failure, FailureKind, Output, SessionUp
from wherry_proto.messages import Input as InputMessage
from wherry_service.api.places import Places
from wherry_service.api.reach import Asker
from wherry_service.api.rules import INVOKE
from wherry_service.apps.register import AppRegister
from wherry_service.calls.client import Client
from wherry_service.calls.journal import Journal
from wherry_service.calls.watching import LOOKUPS
from wherry_service.errors import NotFound
from wherry_service.ids import check_id
from wherry_service.tasks import Tasks


class SessionRules:
    """Checks the messages of one session: whatever names a call or an input is for who may call its function.

    A client reaches its own calls, and those of the environments in which it may call functions. What it does not
    reach is answered as what is not there.
    """

    def __init__(
        self,
        asker: Asker,
        apps: AppRegister,
        journal: Journal,
        places: Places,
        parent_of: Callable[[CallStart], str] = lambda start: "",
    ) -> None:
        self._asker = asker
        self._apps = apps
        self._journal = journal
        self._places = places
        # Returns what of its parent a call may say.
        self._parent_of = parent_of
        self._reachable: set[str] = set()
        self._tasks = Tasks("a call could not be looked up")
        self._lookups = asyncio.Semaphore(LOOKUPS)

    def restrict(self, client: Client, message: SessionUp) -> None:
        """Take out of a message what this client may not ask, and answer it."""
        journal = self._journal
        refused = self._starts(client, message)

        def own(call_id: str | None) -> bool:
            return call_id is not None and (call_id in started or self._reaches_call(client, call_id))

        started = {start.call_id for start in message.calls}
        if message.inputs:
            inputs = message.inputs
            message.inputs = [item for item in inputs if own(item.call_id)]
            for item in message.inputs:
                if item.payload is not None and item.payload.blob_id:
                    # Anything else is no payload of a client's: a source file, which is not for it to read or delete.
                    check_id(item.payload.blob_id, "bl", "blob id")
            if len(message.inputs) < len(inputs):
                _answer(client, (item for item in inputs if not own(item.call_id)), refused)
        message.ends = [item for item in message.ends if own(item.call_id)]
        message.cancels = [item for item in message.cancels if own(item.call_id)]
        message.taken = [input_id for input_id in message.taken if own(journal.call_of(input_id))]
        message.yields_taken = [row for row in message.yields_taken if own(journal.call_of(row.input_id))]
        if message.watches:
            watches, message.watches = message.watches, []
            for watch in watches:
                if own(watch.call_id):
                    message.watches.append(watch)
                else:
                    client.num_lookups += 1
                    self._tasks.spawn(self._look_up(client, watch.call_id))

    def reaches_function(self, function_id: str) -> bool:
        """Whether it may call a function that is served."""
        if function_id in self._reachable:
            return True
        try:
            environment = self._apps.function(function_id).environment
        except NotFound:
            return False
        if not self._asker.allows(INVOKE, environment):
            return False
        self._reachable.add(function_id)
        return True

    def _starts(self, client: Client, message: SessionUp) -> dict[str, str]:
        """Leave the calls that it may start or take up again; return the functions of the others, by call."""
        refused: dict[str, str] = {}
        calls = []
        for start in message.calls:
            known = self._journal.function_of(start.call_id)
            if known is None:
                allowed = self.reaches_function(start.function_id)
            else:
                allowed = self._reaches_call(client, start.call_id)
            if not allowed:
                refused[start.call_id] = start.function_id
                continue
            if start.parent_input_id:
                start.parent_input_id = self._parent_of(start)
            calls.append(start)
        message.calls = calls
        return refused

    def _reaches_call(self, client: Client, call_id: str) -> bool:
        call = self._journal.call(call_id)
        if call is not None and call.client is client:
            return True
        function_id = self._journal.function_of(call_id)
        return function_id is not None and self.reaches_function(function_id)

    async def _look_up(self, client: Client, call_id: str) -> None:
        try:
            async with self._lookups:
                await self._watch(client, call_id)
        finally:
            client.num_lookups -= 1

    async def _watch(self, client: Client, call_id: str) -> None:
        """Watch a call that is only on disk, if it is within reach."""
        environments = await self._places.of("call", call_id)
        if any(self._asker.allows(INVOKE, environment) for environment in environments):
            self._journal.watching.watch(client, call_id)
        else:
            client.state(CallState(call_id=call_id, known=False))


def _answer(client: Client, items: Iterable[InputMessage], refused: dict[str, str]) -> None:
    """Answer inputs of calls that are not taken, as those of a function that nobody knows."""
    for item in items:
        function_id = refused.get(item.call_id)
        if function_id is not None:
            message = f"Function {function_id[:64]} does not exist, or its app has stopped."
        else:
            message = f"Call {item.call_id[:64]} is not known: its function does not exist, or its app has stopped."
        failure = Failure(kind=FailureKind.NOT_FOUND, message=message)
        client.output(Output(input_id=item.input_id, call_id=item.call_id, index=item.index, failure=failure))
