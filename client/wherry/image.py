"""What a container's file system holds: an image, as an immutable chain of steps."""

from __future__ import annotations

import os

from wherry._base.blocking import blocking, blocking_classmethod
from wherry._base.checks import environment
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._base.mounted import Mounted
from wherry._base.object import Object
from wherry._define.files import Files, frozen
from wherry._define.names import image_name
from wherry._define.packages import Packages
from wherry._define.recipe import Recipe
from wherry._define.step import Step, absolute, deprecated, needs_list, no_gpu, strings
from wherry.context import check_local, is_local
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from wherry._calling.owner import AppLike
    from wherry._define.files import Ignore


# large: its methods are those of the reference
class Image(Recipe, Packages, Files, Object):
    """A chain of build steps. Each method returns a new image; the service builds it when an app first needs it.

    An image's id is made of its definition and of the files that it copies, so the same definition has the same id on
    any machine, and is built once. `force_build=True` of a step runs that step and all later ones again.
    (reference: Image)
    """

    __slots__ = ()

    # Bases

    @classmethod
    def debian_slim(cls, python_version: str | None = None, force_build: bool = False) -> Image:
        """Return a small Debian with Python; `python_version` is "3.13" for example, None this program's.

        If the service does not have this program's version, it takes the nearest, and a warning says so.

        Raises InvalidError when the version does not look like one. (reference: Image.debian_slim)
        """
        options = {"python_version": _version("python_version", python_version)}
        return _of_builder(cls((Step("debian_slim", options=options, force_build=force_build),)))

    @classmethod
    def from_registry(
        cls,
        tag: str,
        secret: Any = None,
        *,
        setup_dockerfile_commands: Sequence[str] = (),
        add_python: str | None = None,
        force_build: bool = False,
        **of_steps: Any,
    ) -> Image:
        """Return the image of a registry, for example "python:3.12-slim".

        It needs Python 3.10 or newer, or `add_python="3.13"`, which lays one beside what it has. `secret` holds
        REGISTRY_USERNAME and REGISTRY_PASSWORD. `secrets`, `env` and `gpu` are for steps: pulling has none of them.
        Raises InvalidError when the tag is empty. (reference: Image.from_registry)
        """
        _check_of_steps("from_registry", of_steps)
        return cls._registry("from_registry", tag, {}, secret, setup_dockerfile_commands, add_python, force_build)

    @classmethod
    def from_dockerhub(cls, tag: str, **options: Any) -> Image:
        """Older name of `from_registry`. (reference: Image.from_dockerhub)"""
        deprecated("Image.from_dockerhub", "Image.from_registry")
        if commands := options.pop("setup_commands", ()):
            options["setup_dockerfile_commands"] = [f"RUN {command}" for command in commands]
        return cls.from_registry(tag, **options)

    @classmethod
    def from_gcp_artifact_registry(
        cls,
        tag: str,
        secret: Any = None,
        *,
        setup_dockerfile_commands: Sequence[str] = (),
        add_python: str | None = None,
        force_build: bool = False,
        **of_steps: Any,
    ) -> Image:
        """Return an image of Google's registry; `secret` holds SERVICE_ACCOUNT_JSON, a service account's key.

        (reference: Image.from_gcp_artifact_registry)
        """
        _check_of_steps("from_gcp_artifact_registry", of_steps)
        options = {"registry": "gcp"}
        return cls._registry("from_registry", tag, options, secret, setup_dockerfile_commands, add_python, force_build)

    @classmethod
    def from_aws_ecr(
        cls,
        tag: str,
        secret: Any = None,
        *,
        setup_dockerfile_commands: Sequence[str] = (),
        add_python: str | None = None,
        force_build: bool = False,
        **of_steps: Any,
    ) -> Image:
        """Return an image of Amazon's registry; `secret` holds AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION.

        (reference: Image.from_aws_ecr)
        """
        _check_of_steps("from_aws_ecr", of_steps)
        options = {"registry": "aws"}
        return cls._registry("from_registry", tag, options, secret, setup_dockerfile_commands, add_python, force_build)

    @classmethod
    def from_dockerfile(
        cls,
        path: str | os.PathLike[str],
        *,
        context_dir: str | os.PathLike[str] | None = None,
        build_args: Mapping[str, str] | None = None,
        registry_secret: Any = None,
        env: Mapping[str, str] | None = None,
        gpu: Any = None,
        secrets: Sequence[Any] = (),
        ignore: Ignore = (),
        add_python: str | None = None,
        force_build: bool = False,
    ) -> Image:
        """Return what a Dockerfile makes; the files it copies are those of `context_dir`, by default its own folder.

        A `.dockerignore` there is honoured (or NAME.dockerignore beside a Dockerfile NAME), `ignore` adds to it.
        Its ENTRYPOINT and CMD do not disturb functions. `env` is set in the image that it makes. Images that it names
        are pulled with what the service's machine has for their registry: with `registry_secret` it raises
        InvalidError. (reference: Image.from_dockerfile)
        """
        no_gpu("from_dockerfile", gpu)
        if registry_secret is not None:
            _refuse("registry_secret")
        file = absolute(path)
        given = (file, absolute(context_dir) if context_dir is not None else os.path.dirname(file), frozen(ignore))
        args = environment(build_args, "Image.from_dockerfile build_args got")
        base: Image = cls((Step("dockerfile", options=args, given=given, secrets=secrets, force_build=force_build),))
        return base._with_python(add_python).env(env or {})

    @classmethod
    def from_scratch(cls, force_build: bool = False) -> Image:
        """Return an empty image: functions need an `add_python` of another base; a sandbox's command needs nothing.

        (reference: Image.from_scratch)
        """
        return cls((Step("from_scratch", force_build=force_build),))

    @blocking_classmethod
    def from_id(cls, image_id: str, client: Any = None) -> Image:
        """Return the image with that id, "im-…", which the service has built before. (reference: Image.from_id)"""
        if not isinstance(image_id, str) or not image_id.startswith("im-"):
            raise InvalidError(f"Image.from_id got {image_id!r}: an image's id begins with im-")
        found = Image((Step("from_id", (image_id,)),))
        found.became(image_id)
        return found

    @classmethod
    def from_name(cls, name: str, *, environment_name: str | None = None, client: Any = None) -> Image:
        """Return the image that has a name, "NAME", "NAME:TAG" or "ENVIRONMENT/NAME:TAG", given by `publish`.

        It is looked up when it is used: the image that has the name at that time. (reference: Image.from_name)
        """
        return Image((Step("from_name", (image_name(name, ""),), given=(environment_name or "",)),))

    @blocking
    def publish(
        self, name: str, *, environment_name: str | None = None, client: Any = None, experimental_options: Any = None
    ) -> None:
        """Give the image a name, "NAME" or "NAME:TAG", in an environment; it is built first if necessary.

        A name that another image had is this one's from then on. Raises ImageBuildError; InvalidError for what can't be
        a name. (reference: Image.publish)
        """
        if experimental_options:
            from wherry._base.elsewhere import meet  # noqa: PLC0415 - start-up cost: only for this

            meet("experimental_options", 2)
        check_local("publishing an image")
        from wherry._connection.client import default_client  # noqa: PLC0415 - start-up cost: loads the session
        from wherry._publish.images import publish  # noqa: PLC0415 - start-up cost: as above

        publish(client or default_client(), self, image_name(name, environment_name or ""))

    @classmethod
    def conda(cls, python_version: str | None = None, *, force_build: bool = False) -> Image:
        """Return an image with conda and Python from it; older than `micromamba`, which is smaller.

        (reference: Image.conda)
        """
        options = {"python_version": _version("python_version", python_version)}
        return _of_builder(cls((Step("conda", options=options, force_build=force_build),)))

    @classmethod
    def micromamba(cls, python_version: str | None = None, force_build: bool = False) -> Image:
        """Return an image with micromamba and Python from conda-forge. (reference: Image.micromamba)"""
        options = {"python_version": _version("python_version", python_version)}
        return _of_builder(cls((Step("micromamba", options=options, force_build=force_build),)))

    # Commands and functions

    def run_commands(
        self,
        *commands: str | Sequence[str],
        env: Mapping[str, str] | None = None,
        volumes: Mapping[str, Any] | None = None,
        gpu: Any = None,
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> Image:
        """Run shell commands while building, each a layer. (reference: Image.run_commands)

        Raises InvalidError for `volumes`: `run_function` can have some.
        """
        no_gpu("run_commands", gpu)
        if volumes:
            _refuse("run_commands volumes")
        names = strings("run_commands", commands)
        with_env: Image = self.env(env or {})
        return with_env._then(Step("run_commands", names, secrets=secrets, force_build=force_build))

    def dockerfile_commands(
        self,
        *dockerfile_commands: str | Sequence[str],
        context_files: Mapping[str, str | os.PathLike[str]] | None = None,
        context_dir: str | os.PathLike[str] | None = None,
        ignore: Ignore = (),
        build_args: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        gpu: Any = None,
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> Image:
        """Add lines of a Dockerfile. COPY and ADD read from `context_dir` and `context_files` ({name: local path}).

        `build_args` are the values of its ARG lines; `env` is set before the first line.
        (reference: Image.dockerfile_commands)
        """
        no_gpu("dockerfile_commands", gpu)
        lines = strings("dockerfile_commands", dockerfile_commands)
        if build_args:
            from wherry._define.build_args import with_args  # noqa: PLC0415 - start-up cost: only where there are some

            lines = with_args(lines, environment(build_args, "Image.dockerfile_commands build_args got"))
        files = tuple((name, absolute(path)) for name, path in (context_files or {}).items())
        given = (absolute(context_dir) if context_dir is not None else None, files, frozen(ignore))
        step = Step("dockerfile_commands", lines, given=given, secrets=secrets, force_build=force_build)
        with_env: Image = self.env(env or {})
        return with_env._then(step)

    def run_function(
        self,
        raw_f: Callable[..., Any],
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        secret: Any = None,
        secrets: Sequence[Any] = (),
        env: Mapping[str, str] | None = None,
        volumes: Mapping[str, Any] | None = None,
        network_file_systems: Mapping[str, Any] | None = None,
        gpu: Any = None,
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        timeout: float | None = 3600,
        cloud: Any = None,
        region: Any = None,
        include_source: bool | None = True,
        force_build: bool = False,
        **ignored: Any,
    ) -> Image:
        """Run a Python function as a build step: files that it leaves become part of the image.

        It runs again when its source text, the globals it names, its arguments or the files of its `mounts` change.
        Raises InvalidError if it is not a plain function. (reference: Image.run_function)
        """
        from wherry._define.build_function import BuildFunction  # noqa: PLC0415 - start-up cost: only for images with such a step

        options: dict[str, Any] = {
            "env": env, "gpu": gpu, "cpu": cpu, "memory": memory, "timeout": timeout, "include_source": include_source,
            "secrets": [*([secret] if secret is not None else []), *secrets], "volumes": volumes,
            "network_file_systems": network_file_systems, "cloud": cloud, "region": region, **ignored,
        }  # fmt: skip
        function = BuildFunction(raw_f, tuple(args), dict(kwargs or {}), options)
        return self._then(Step("run_function", (function.name,), given=(function,), force_build=force_build))

    # Others' functions

    def pipe(self, func: Callable[..., Image], *args: Any, **kwargs: Any) -> Image:
        """Return what a function makes of this image: `func(image, *args, **kwargs)`. (reference: Image.pipe)

        Raises InvalidError where that is no image.
        """
        made = func(self, *args, **kwargs)
        if not isinstance(made, Image):
            raise InvalidError(f"Image.pipe: {getattr(func, '__qualname__', func)} returned {made!r}, and no Image")
        return made

    # What the image says of itself

    def env(self, vars: Mapping[str, str]) -> Image:
        """Set environment variables; values must be strings, otherwise InvalidError. (reference: Image.env)

        `$NAME` and `${NAME}` in a value are what the image has under that name so far: `{"PATH": "/opt/bin:$PATH"}`.
        They stay as they are where it has nothing, or with a backslash before them.
        """
        if not vars:
            return self
        return self._then(Step("env", options=environment(vars, "Image.env got")))

    def workdir(self, path: str | os.PathLike[str]) -> Image:
        """Set the directory in which commands and functions run. (reference: Image.workdir)"""
        return self._then(Step("workdir", strings("workdir", (str(path),))))

    def entrypoint(self, entrypoint_commands: Sequence[str]) -> Image:
        """Set the image's ENTRYPOINT: the program that a sandbox's command is given to, as its arguments.

        It should end in running these (`exec "$@"`), or the command never runs. Functions, `exec` and `wherry shell`
        run without it. (reference: Image.entrypoint)
        """
        return self._then(Step("entrypoint", needs_list("entrypoint_commands", entrypoint_commands)))

    def shell(self, shell_commands: Sequence[str]) -> Image:
        """Set the shell that runs the commands of later steps, for example ["/bin/bash", "-c"].

        (reference: Image.shell)
        """
        return self._then(Step("shell", needs_list("shell_commands", shell_commands)))

    def cmd(self, cmd: Sequence[str]) -> Image:
        """Set the image's CMD: what a sandbox without a command runs. Functions do not use it.

        (reference: Image.cmd)
        """
        return self._then(Step("cmd", needs_list("cmd", cmd)))

    # Use

    def imports(self) -> AbstractContextManager[None]:
        """Import within this block modules that only the image has: here a missing module is ignored.

        In a container of this image a missing module is an error. (reference: Image.imports)
        """
        from wherry._define.imports import importing  # noqa: PLC0415 - start-up cost: contextlib is not needed to import wherry

        return importing()

    def run_inside(self) -> AbstractContextManager[None]:
        """Older name of `imports`. (reference: Image.run_inside)"""
        deprecated("Image.run_inside", "Image.imports")
        return self.imports()

    @blocking
    def build(self, app: AppLike | None = None) -> Image:
        """Build the image now, if it is not built, and return it. Raises ImageBuildError. (reference: Image.build)"""
        from wherry._connection.client import default_client  # noqa: PLC0415 - start-up cost: not needed to define an image
        from wherry._publish.images import ensure_images  # noqa: PLC0415 - start-up cost: as above

        ensure_images(default_client(), [self], environment=app.__wherry_owner__.environment if app is not None else "")
        return self

    def __wherry_find__(self, client: Any) -> None:
        from wherry._connection.client import default_client  # noqa: PLC0415 - start-up cost: as above
        from wherry._publish.images import ensure_images  # noqa: PLC0415 - start-up cost: as above

        ensure_images(client or default_client(), [self])

    def __wherry_known__(self) -> bool:
        return bool(self._id) or not is_local()  # in a container it is built

    def __wherry_facts__(self) -> dict[str, Any]:
        return {
            "steps": [repr(step) for step in self.steps],
            "added as containers start": [item.remote for item in self.mounted],
        }

    @property
    def object_id(self) -> str:
        """Its id, "im-…", once it was built here; "" before. (reference: Image.object_id)"""
        return self._id

    @classmethod
    def _registry(
        cls,
        kind: str,
        tag: str,
        options: Mapping[str, str | None],
        secret: Any,
        setup: Sequence[str],
        add_python: str | None,
        force_build: bool,
    ) -> Image:
        secrets = () if secret is None else (secret,)
        image: Image = cls((Step(kind, strings(kind, (tag,)), options, secrets=secrets, force_build=force_build),))
        made: Image = image.dockerfile_commands(*setup) if setup else image
        return made._with_python(add_python)

    def _with_python(self, version: str | None) -> Image:
        if version is None:
            return self
        return _of_builder(self._then(Step("add_python", (_version("add_python", version) or "",))))

    def _then(self, step: Step) -> Image:
        if self._mounted:
            raise InvalidError(
                f"{step.kind} comes after {self._mounted[-1]!r}, which is added when containers start: "
                "put add_local_... last, or give it copy=True to have it in the image from there on"
            )
        return Image((*self._steps, step))

    def _mounting(self, *mounted: Mounted) -> Image:
        return Image(self._steps, (*self._mounted, *mounted))


def _refuse(what: str) -> None:
    from wherry._base.elsewhere import refusal  # noqa: PLC0415 - start-up cost: only for this

    method, _, parameter = what.rpartition(" ")
    raise refusal(what, f"modal.Image.{method or 'from_dockerfile'}({parameter}=)")


def _check_of_steps(method: str, given: Mapping[str, Any]) -> None:
    """Let pass what is only for the steps of a build; raise TypeError for any other keyword."""
    for name in given:
        if name not in ("secrets", "env", "gpu"):
            raise TypeError(f"Image.{method}() got an unexpected keyword argument {name!r}")


def _of_builder(image: Image) -> Image:
    from wherry._define.builder import builder_packages  # noqa: PLC0415 - start-up cost: only where an image is begun

    packages = builder_packages()
    made: Image = image.pip_install(*packages) if packages else image
    return made


def _version(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    parts = str(value).split(".")
    if not isinstance(value, str) or len(parts) not in (2, 3) or not all(part.isdigit() for part in parts):
        raise InvalidError(f'{name} is {value!r}: it must be a string such as "3.13"')
    return value
