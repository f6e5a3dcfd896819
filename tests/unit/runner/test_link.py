"""The runner's socket to the agent."""

import socket
from pathlib import Path
from typing import Any

import pytest

from wherry_runner.frames import Decoder
from wherry_runner.link import OUTPUTS, Link


@pytest.mark.parametrize("kind", [KeyboardInterrupt, TimeoutError])
def test_a_frame_that_was_interrupted_goes_whole_on_the_next_connection(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        link = Link(str(tmp_path / "s"))
        link.connect([], True)
        first, _ = listener.accept()
        whole = link._socket
        assert whole is not None

        class Half:
            def __getattr__(self, name: str) -> Any:
                return getattr(whole, name)

            def send(self, data: Any) -> int:
                whole.send(data[: len(data) // 2])
                raise kind

        link._socket = Half()  # type: ignore[assignment]
        link.put_row(OUTPUTS, ["in-1", 1, None, 900, 0], b"x" * 900)
        with pytest.raises(kind):
            link.flush()
        assert not link.is_open
        link.close()

        link.connect(["in-1"], True)
        second, _ = listener.accept()
        link.flush()
        with first, second:
            decoder = Decoder()
            frames: list[Any] = []
            while len(frames) < 2:
                frames += decoder.feed(second.recv(1 << 16))
        assert [header["t"] for header, _ in frames] == ["hello", "outputs"]
        assert frames[1][1] == [b"x" * 900]
        link.close()
