"""A sandbox's streams, as they look from here: where they go on after a break, and how input is cut."""

from collections.abc import Iterator
from typing import Any

import pytest

import wherry
from wherry._sandbox.origin import apart, origin_of
from wherry._sandbox.streams import SandboxStreams
from wherry.exception import ConnectionError, ExecutionError
from wherry_proto import messages


class Service:
    """As a client: one that has printed something, and breaks off before it has told all."""

    def __init__(self, printed: bytes, breaks_at: int) -> None:
        self._printed = printed
        self._breaks_at = breaks_at
        self.asked: list[tuple[int, int]] = []
        self.waited = 0
        self.inputs: list[messages.SandboxInputRequest] = []

    def stream(self, method: str, request: messages.SandboxOutputRequest) -> Iterator[Any]:
        self.asked.append((request.stream, request.offset))
        if request.offset < self._breaks_at:
            yield messages.SandboxOutput(data=self._printed[request.offset : self._breaks_at])
            raise ConnectionError("the service is gone")
        yield messages.SandboxOutput(data=self._printed[request.offset :])

    def call(self, method: str, request: Any, response: Any) -> Any:
        if method == "Sandboxes.Input":
            self.inputs.append(request)
        else:
            self.waited += 1
        return response()


def streams_of(service: Service) -> SandboxStreams:
    client: Any = service
    return SandboxStreams("sb-1", lambda: client)


@pytest.mark.parametrize(("name", "number"), [("stdout", 1), ("stderr", 2)])
def test_output_goes_on_where_it_was_when_the_service_comes_back(name: str, number: int) -> None:
    service = Service(b"one two three", 4)
    assert getattr(streams_of(service), name).read() == "one two three"
    assert service.asked == [(number, 0), (number, 4)]
    assert service.waited == 1


def test_input_is_cut_into_pieces_each_with_its_place() -> None:
    service = Service(b"", 0)
    stdin = streams_of(service).stdin
    stdin.write(b"x" * ((1 << 20) + 1))
    stdin.write_eof()
    stdin.drain()
    assert [(one.offset, len(one.data), one.eof) for one in service.inputs] == [
        (0, 1 << 20, False),
        (1 << 20, 1, True),
    ]
    assert len({one.writer_id for one in service.inputs}) == 1


def test_a_sandbox_has_its_apps_image_and_secrets_unless_it_says_otherwise() -> None:
    given = wherry.Secret.from_dict({"A": "1"})
    app = wherry.App("its", image=wherry.Image.micromamba(), secrets=[given])
    app.__wherry_owner__.became("ap-1", "its", "blue", None)
    assert origin_of(app, None) == (wherry.Image.micromamba(), "ap-1", "blue", None, (given,))
    assert origin_of(app, wherry.Image.from_scratch()).image == wherry.Image.from_scratch()
    assert origin_of(None, None) == (wherry.Image.debian_slim(), "", "", None, ())
    assert apart([given]) == ([given], {})


def test_an_app_that_does_not_run_has_no_sandboxes() -> None:
    with pytest.raises(ExecutionError, match="is not running"):
        origin_of(wherry.App("idle"), None)
