"""What type checkers see of `Sandbox.exec` and `Sandbox.open`: whether streams and files are of text or bytes.

Nothing here is loaded when a program runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Literal

    from wherry.container_process import ContainerProcess
    from wherry.file_io import FileIO
    from wherry.secret import Secret
    from wherry.stream_type import StreamType

    TextMode = Literal[
        "r",
        "rt",
        "r+",
        "rt+",
        "r+t",
        "w",
        "wt",
        "w+",
        "wt+",
        "w+t",
        "a",
        "at",
        "a+",
        "at+",
        "a+t",
        "x",
        "xt",
        "x+",
        "xt+",
        "x+t",
    ]
    BytesMode = Literal[
        "rb",
        "rb+",
        "r+b",
        "wb",
        "wb+",
        "w+b",
        "ab",
        "ab+",
        "a+b",
        "xb",
        "xb+",
        "x+b",
    ]

    class Exec:
        """What `sandbox.exec` gives."""

        @overload
        def __call__(
            self,
            *args: str,
            stdout: StreamType = ...,
            stderr: StreamType = ...,
            timeout: float | None = None,
            workdir: str | None = None,
            env: Mapping[str, str | None] | None = None,
            secrets: Sequence[Secret] | None = None,
            user: str | None = None,
            text: Literal[True] = True,
            bufsize: int = -1,
            pty: bool = False,
            pty_info: Any = None,
        ) -> ContainerProcess[str]: ...
        @overload
        def __call__(
            self,
            *args: str,
            stdout: StreamType = ...,
            stderr: StreamType = ...,
            timeout: float | None = None,
            workdir: str | None = None,
            env: Mapping[str, str | None] | None = None,
            secrets: Sequence[Secret] | None = None,
            user: str | None = None,
            text: Literal[False],
            bufsize: int = -1,
            pty: bool = False,
            pty_info: Any = None,
        ) -> ContainerProcess[bytes]: ...
        @overload
        def __call__(
            self,
            *args: str,
            stdout: StreamType = ...,
            stderr: StreamType = ...,
            timeout: float | None = None,
            workdir: str | None = None,
            env: Mapping[str, str | None] | None = None,
            secrets: Sequence[Secret] | None = None,
            user: str | None = None,
            text: bool,
            bufsize: int = -1,
            pty: bool = False,
            pty_info: Any = None,
        ) -> ContainerProcess[Any]: ...
        def __call__(self, *args: str, **options: Any) -> Any:
            """Start the command."""

        @overload
        def aio(
            self,
            *args: str,
            stdout: StreamType = ...,
            stderr: StreamType = ...,
            timeout: float | None = None,
            workdir: str | None = None,
            env: Mapping[str, str | None] | None = None,
            secrets: Sequence[Secret] | None = None,
            user: str | None = None,
            text: Literal[True] = True,
            bufsize: int = -1,
            pty: bool = False,
            pty_info: Any = None,
        ) -> Coroutine[Any, Any, ContainerProcess[str]]: ...
        @overload
        def aio(
            self,
            *args: str,
            stdout: StreamType = ...,
            stderr: StreamType = ...,
            timeout: float | None = None,
            workdir: str | None = None,
            env: Mapping[str, str | None] | None = None,
            secrets: Sequence[Secret] | None = None,
            user: str | None = None,
            text: Literal[False],
            bufsize: int = -1,
            pty: bool = False,
            pty_info: Any = None,
        ) -> Coroutine[Any, Any, ContainerProcess[bytes]]: ...
        @overload
        def aio(
            self,
            *args: str,
            stdout: StreamType = ...,
            stderr: StreamType = ...,
            timeout: float | None = None,
            workdir: str | None = None,
            env: Mapping[str, str | None] | None = None,
            secrets: Sequence[Secret] | None = None,
            user: str | None = None,
            text: bool,
            bufsize: int = -1,
            pty: bool = False,
            pty_info: Any = None,
        ) -> Coroutine[Any, Any, ContainerProcess[Any]]: ...
        def aio(self, *args: str, **options: Any) -> Any:
            """Do the same without blocking the event loop."""

    class Open:
        """What `sandbox.open` gives."""

        @overload
        def __call__(self, path: str, mode: TextMode = "r") -> FileIO[str]: ...
        @overload
        def __call__(self, path: str, mode: BytesMode) -> FileIO[bytes]: ...
        @overload
        def __call__(self, path: str, mode: str) -> FileIO[Any]: ...
        def __call__(self, path: str, mode: str = "r") -> Any:
            """Open the file."""

        @overload
        def aio(self, path: str, mode: TextMode = "r") -> Coroutine[Any, Any, FileIO[str]]: ...
        @overload
        def aio(self, path: str, mode: BytesMode) -> Coroutine[Any, Any, FileIO[bytes]]: ...
        @overload
        def aio(self, path: str, mode: str) -> Coroutine[Any, Any, FileIO[Any]]: ...
        def aio(self, path: str, mode: str = "r") -> Any:
            """Do the same without blocking the event loop."""

    class executing:
        """Decorates `exec`."""

        def __init__(self, method: Callable[..., Any]) -> None:
            self.plain = method

        @overload
        def __get__(self, instance: None, owner: type) -> Any: ...
        @overload
        def __get__(self, instance: object, owner: type) -> Exec: ...
        def __get__(self, instance: Any, owner: type) -> Any:
            """Give what the method is of a sandbox."""

    class opening:
        """Decorates `open`."""

        def __init__(self, method: Callable[..., Any]) -> None:
            self.plain = method

        @overload
        def __get__(self, instance: None, owner: type) -> Any: ...
        @overload
        def __get__(self, instance: object, owner: type) -> Open: ...
        def __get__(self, instance: Any, owner: type) -> Any:
            """Give what the method is of a sandbox."""
