"""What Wherry raises.

Error
├── RemoteError                     something failed on the service's side
│   ├── ImageBuildError
│   └── DeploymentError
├── TimeoutError                    not the builtin
│   ├── FunctionTimeoutError
│   ├── SandboxTimeoutError
│   ├── ExecTimeoutError
│   ├── MountUploadTimeoutError
│   ├── VolumeUploadTimeoutError
│   ├── InteractiveTimeoutError
│   └── OutputExpiredError
├── SandboxTerminatedError
├── FilesystemExecutionError        an older name; SandboxFilesystemError is one
├── SandboxFilesystemError          each below is also the builtin of its kind, an OSError
│   ├── SandboxFilesystemNotFoundError, SandboxFilesystemPathAlreadyExistsError, SandboxFilesystemPermissionError
│   ├── SandboxFilesystemIsADirectoryError, SandboxFilesystemNotADirectoryError
│   └── SandboxFilesystemDirectoryNotEmptyError, SandboxFilesystemFileTooLargeError
├── SnapshotCreationError
├── LogsFetchError
├── AuthError
├── PermissionDeniedError
├── ConnectionError                 not the builtin
├── InvalidError
│   └── ConflictError
├── VersionError
├── NotFoundError
│   └── VolumeFileNotFoundError     also the builtin FileNotFoundError
├── AlreadyExistsError
│   └── VolumeFileExistsError       also the builtin FileExistsError
├── ResourceExhaustedError
├── ExecutionError
│   ├── OpenFilesError              also the builtin RuntimeError
│   └── UnraisableError             a function raised SystemExit, CancelledError, StopIteration or the like
├── SerializationError
├── DeserializationError
├── RequestSizeError
├── ClientClosed
├── InternalError
├── InternalFailure
└── ServiceError, DataLossError, UnimplementedError, WorkspaceManagementError
                                    not raised: programs written for Modal may name them
UserCodeException                   what `map(return_exceptions=True)` returns is one, beside its own class
InputCancellation (BaseException)   raised in user code whose input was cancelled
DeprecationError (UserWarning)      the category of warnings about old names
ServerWarning, AsyncUsageWarning, InternalAPIWarning (UserWarning), ModuleNotMountable (Exception)
                                    not used: programs written for Modal may name them
"""


class Error(Exception):
    """Base of all of Wherry's own errors."""


class RemoteError(Error):
    """Something failed on the service's side."""


class ImageBuildError(RemoteError):
    """An image could not be built; the message holds the end of its log."""


class DeploymentError(RemoteError):
    """A version of an app did not start; the one before serves on. The message holds the reason."""


class TimeoutError(Error):
    """Something took longer than allowed."""


class FunctionTimeoutError(TimeoutError):
    """A function ran longer than its `timeout`."""


class SandboxTimeoutError(TimeoutError):
    """A sandbox lived longer than its `timeout`."""


class ExecTimeoutError(TimeoutError):
    """A command in a sandbox ran longer than its `timeout`."""


class MountUploadTimeoutError(TimeoutError):
    """Local files took too long to send."""


class VolumeUploadTimeoutError(TimeoutError):
    """Files for a volume took too long to send."""


class InteractiveTimeoutError(TimeoutError):
    """Nobody connected to an interactive session in time."""


class OutputExpiredError(TimeoutError):
    """The result of a call is no longer kept."""


class SandboxTerminatedError(Error):
    """A sandbox was ended from outside."""


class FilesystemExecutionError(Error):
    """The older name of what `Sandbox.open` and its file raise."""


class SandboxFilesystemError(FilesystemExecutionError, OSError):
    """A file of a sandbox could not be read or changed."""


class SandboxFilesystemNotFoundError(SandboxFilesystemError, FileNotFoundError):
    """A sandbox has no file or directory of that path."""


class SandboxFilesystemPathAlreadyExistsError(SandboxFilesystemError, FileExistsError):
    """A sandbox has something at that path already."""


class SandboxFilesystemPermissionError(SandboxFilesystemError, PermissionError):
    """The sandbox's user may not do that to the file."""


class SandboxFilesystemIsADirectoryError(SandboxFilesystemError, IsADirectoryError):
    """A path in a sandbox is a directory, where a file is needed."""


class SandboxFilesystemNotADirectoryError(SandboxFilesystemError, NotADirectoryError):
    """A path in a sandbox leads through a file, or is one, where a directory is needed."""


class SandboxFilesystemDirectoryNotEmptyError(SandboxFilesystemError, OSError):
    """A directory of a sandbox holds something, so it can't be removed."""


class SandboxFilesystemFileTooLargeError(SandboxFilesystemError, OSError):
    """A file of a sandbox is too large to be read or written at once."""


class SnapshotCreationError(Error):
    """An image could not be made of a sandbox's files."""


class LogsFetchError(Error):
    """What something printed could not be read."""


class AuthError(Error):
    """The service does not know who is asking."""


class PermissionDeniedError(Error):
    """The service knows who is asking, and refuses."""


class ConnectionError(Error):
    """The service can't be reached."""


class InvalidError(Error):
    """The request makes no sense."""


class ConflictError(InvalidError):
    """The request contradicts what exists."""


class VersionError(Error):
    """Client and service do not speak the same protocol."""


class NotFoundError(Error):
    """There is no such object."""


class VolumeFileNotFoundError(NotFoundError, FileNotFoundError):
    """A volume has no such file."""


class AlreadyExistsError(Error):
    """There is such an object already."""


class VolumeFileExistsError(AlreadyExistsError, FileExistsError):
    """A volume has a file of that path already."""


class ResourceExhaustedError(Error):
    """A limit of the service is reached."""


class ExecutionError(Error):
    """An object was used in a way or at a time that does not work."""


class UnraisableError(ExecutionError):
    """A function raised what would steer this program if it were raised here as itself.

    That is SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, StopIteration, StopAsyncIteration, and
    what is derived from them. The exception is `exc`, and the cause of this one.
    """

    def __init__(self, message: str, exc: BaseException | None = None) -> None:
        super().__init__(message)
        self.exc = exc
        if exc is not None:
            self.__cause__ = exc


class OpenFilesError(ExecutionError, RuntimeError):
    """A volume can't be reloaded while files of it are open."""


class SerializationError(Error):
    """A value could not be pickled."""


class DeserializationError(Error):
    """A value could not be unpickled."""


class RequestSizeError(Error):
    """A request is larger than the service takes."""


class ClientClosed(Error):
    """A client was used after it was closed."""


class InternalError(Error):
    """A fault of Wherry's own."""


class InternalFailure(Error):
    """An input failed for no reason of its own."""


class ServiceError(Error):
    """Not raised: programs written for Modal may name it."""


class DataLossError(Error):
    """Not raised: programs written for Modal may name it."""


class UnimplementedError(Error):
    """Not raised: programs written for Modal may name it."""


class WorkspaceManagementError(Error):
    """Not raised: there are no workspaces."""


class ModuleNotMountable(Exception):
    """Not raised: programs written for Modal may name it."""


# Where an exception has the mark that `map` returned it.
_RETURNED = "__wherry_returned__"


class _Returned(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return type.__instancecheck__(cls, instance) or (
            cls is UserCodeException and isinstance(instance, BaseException) and _RETURNED in vars(instance)
        )


class UserCodeException(Exception, metaclass=_Returned):
    """What exceptions that `map(return_exceptions=True)` returns are instances of, beside their own class.

    They are the function's exceptions themselves, as in Modal since 1.4. `exc` is the exception, as it was in 2023,
    when an object of this class was around it; `wrap_returned_exceptions=True` gives such an object.
    """

    def __init__(self, exc: BaseException) -> None:
        super().__init__(exc)
        self.exc = exc


def as_returned(error: BaseException) -> BaseException:
    """Inside wherry: return an exception as one that passes for a `UserCodeException` as well, with itself as `exc`."""
    own = vars(error)
    own[_RETURNED] = True
    if not hasattr(error, "exc"):
        own["exc"] = error
    return error


class InputCancellation(BaseException):
    """Raised in the user's code when the input it works on is cancelled."""


class DeprecationError(UserWarning):
    """Category of the warnings about names that have a newer spelling."""


class ServerWarning(UserWarning):
    """Category of warnings that the service sends."""


class AsyncUsageWarning(UserWarning):
    """Category of warnings about a call that blocks an event loop."""


class InternalAPIWarning(UserWarning):
    """Category of warnings about a name that is not public."""


def simulate_preemption(wait_seconds: int, jitter_seconds: int = 0) -> None:
    """Interrupt this process after `wait_seconds`, and up to `jitter_seconds` more: SIGINT, and 30 s later SIGKILL.

    So a program can test what it does when its container is stopped. It returns at once.
    (reference: simulate_preemption)
    """
    import os  # noqa: PLC0415 - start-up cost: these are only for those who use it
    import random  # noqa: PLC0415 - start-up cost: as above
    import signal  # noqa: PLC0415 - start-up cost: as above
    import threading  # noqa: PLC0415 - start-up cost: as above

    first = wait_seconds + random.uniform(0, jitter_seconds)
    for delay, number in ((first, signal.SIGINT), (first + 30, signal.SIGKILL)):
        timer = threading.Timer(delay, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()
