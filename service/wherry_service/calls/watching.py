"""What became of calls, for whoever asks: also of those that are only on disk."""

import asyncio
import copy
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from wherry_proto.messages import CallState, Output
from wherry_service.calls.call import Call, Input
from wherry_service.calls.client import Client
from wherry_service.calls.graph import Describe
from wherry_service.ids import call_of_input, input_of_call
from wherry_service.store.calls import CallStore, StoredOutputs

Run = Callable[[Coroutine[Any, Any, None]], object]

# Calls that are looked up on disk at the same time.
LOOKUPS = 32


class Watching:
    """Shows calls to clients. `calls` and `inputs` are those that are open; `run` runs what has to be waited for."""

    def __init__(
        self,
        calls: Mapping[str, Call],
        inputs: Mapping[str, Input],
        store: CallStore,
        describe: Describe,
        run: Run,
    ) -> None:
        self._calls = calls
        self._inputs = inputs
        # Who watches single inputs of calls of many, by the inputs' ids.
        self._of_inputs: dict[str, set[Client]] = {}
        self._store = store
        self._describe = describe
        self._lookups = asyncio.Semaphore(LOOKUPS)
        self._run = run

    def watch(self, client: Client, call_id: str, only: int | None = None) -> None:
        """Send what outputs the call has and how it stands; send its other outputs as they come.

        `only`: of those there are, the one of the input at this position alone.
        """
        call = self._calls.get(call_id)
        if call is None or call.restored or (call.durable and call.num_done):
            client.num_lookups += 1
            self._run(self._look_up(client, call_id, only))
            return
        self._show(client, call, only=only)

    def ended(self, output: Output) -> None:
        """Send the end of an input to those who watch it alone."""
        for client in self._of_inputs.pop(output.input_id, ()):
            client.output(_alone(output))

    def _show(self, client: Client, call: Call, stored: StoredOutputs | None = None, only: int | None = None) -> None:
        num_inputs = call.num_inputs or len(call.open) + call.num_done
        num_done = call.num_done
        if stored is not None:
            num_inputs, num_done = max(num_inputs, stored.num_inputs), max(num_done, stored.num_done)
            for output in stored.outputs:
                if output.input_id not in call.finished:
                    client.output(output)
        for output in call.finished.values():
            if only is None or output.index == only:
                client.output(output)
        call.watchers.add(client)
        client.state(
            CallState(
                call_id=call.call_id,
                known=True,
                num_inputs=num_inputs,
                num_done=num_done,
                function_id=call.function_id,
                is_generator=self._is_generator(call),
            )
        )

    def _is_generator(self, call: Call) -> bool:
        load = self._describe(call.function_id)
        if load is None or not load.methods:
            return load is not None and load.is_generator
        generators = {name for name, is_generator, _ in load.methods if is_generator}
        return any(item.method in generators for item in call.open.values())

    async def _look_up(self, client: Client, call_id: str, only: int | None) -> None:
        try:
            async with self._lookups:
                await self._watch_stored(client, call_id, only)
        finally:
            client.num_lookups -= 1

    async def _watch_stored(self, client: Client, call_id: str, only: int | None) -> None:
        while True:
            before = self._calls.get(call_id)
            if before is not None:
                # Told of what ends while the disk is read; perhaps twice, which does no harm.
                before.watchers.add(client)
            if only is None:
                outputs = await self._store.outputs(call_id)
            else:
                outputs = await self._store.output_at(call_id, only)
            call = self._calls.get(call_id)
            # Else it ended, and was forgotten here, while the disk was read: what was read may lack its last outputs.
            if call is before:
                break
        if call is not None:
            self._show(client, call, outputs, only)
            return
        if outputs is None:
            await self._watch_input(client, call_id)
            return
        _tell(client, call_id, outputs)

    async def _watch_input(self, client: Client, call_id: str) -> None:
        """Show one input of a call of many, if that is what the id names: it is a call of its own, too."""
        input_id = input_of_call(call_id)
        if input_id in self._inputs:
            # Told of its end while the disk is read; perhaps twice, which does no harm.
            self._of_inputs.setdefault(input_id, set()).add(client)
        outputs = await self._store.output_of(input_id, call_id)
        if outputs is None:
            # One that is not durable, or not on disk yet, is a call to nobody.
            self._of_inputs.get(input_id, set()).discard(client)
            client.state(CallState(call_id=call_id, known=False))
            return
        _tell(client, call_id, outputs)


def _tell(client: Client, call_id: str, outputs: StoredOutputs) -> None:
    for output in outputs.outputs:
        client.output(output)
    client.state(
        CallState(
            call_id=call_id,
            known=True,
            expired=outputs.expired,
            num_inputs=outputs.num_inputs,
            num_done=outputs.num_done,
            function_id=outputs.function_id,
            is_generator=any(output.num_yields for output in outputs.outputs),
        )
    )


def _alone(output: Output) -> Output:
    """Return the end of an input as that of a call of its own."""
    found = copy.copy(output)
    found.call_id, found.index = call_of_input(output.input_id), 0
    return found
