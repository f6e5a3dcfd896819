"""The steps of an image that install packages."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry._define.step import Step, absolute, needs_list, no_gpu, strings
from wherry.exception import InvalidError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from typing import Self


class Packages:
    """The part of `Image` that installs packages."""

    __slots__ = ()

    if TYPE_CHECKING:

        def env(self, vars: Mapping[str, str]) -> Self: ...
        def _then(self, step: Step) -> Self: ...

    def apt_install(
        self,
        *packages: str | Sequence[str],
        gpu: Any = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> Self:
        """Install Debian packages. (reference: Image.apt_install)"""
        no_gpu("apt_install", gpu)
        names = strings("apt_install", packages)
        return self._in(env, Step("apt_install", names, secrets=secrets, force_build=force_build))

    def pip_install(
        self,
        *packages: str | Sequence[str],
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        gpu: Any = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> Self:
        """Install Python packages with pip. Their order does not matter. (reference: Image.pip_install)"""
        no_gpu("pip_install", gpu)
        options = _pip_options(find_links, index_url, extra_index_url, pre, extra_options)
        names = strings("pip_install", packages)
        return self._in(env, Step("pip_install", names, options, secrets=secrets, force_build=force_build))

    def pip_install_private_repos(
        self,
        *repositories: str,
        git_user: str,
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        gpu: Any = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> Self:
        """Install from private git repositories, such as "host/owner/repo@v1".

        A secret holds GITHUB_TOKEN or GITLAB_TOKEN, or GIT_TOKEN for another host; it never reaches the image, its
        history or the log. Raises InvalidError without a secret or for a URL with a scheme.
        (reference: Image.pip_install_private_repos)
        """
        no_gpu("pip_install_private_repos", gpu)
        names = strings("pip_install_private_repos", repositories)
        if not secrets:
            raise InvalidError(
                "Image.pip_install_private_repos needs secrets=[...] with GITHUB_TOKEN, GITLAB_TOKEN or GIT_TOKEN"
            )
        for name in names:
            if "://" in name or name.startswith("git+") or "/" not in name:
                raise InvalidError(
                    f"Image.pip_install_private_repos got {name!r}: write host/owner/repo@ref, without a scheme"
                )
        options = _pip_options(find_links, index_url, extra_index_url, pre, extra_options)
        options["git_user"] = git_user
        return self._in(env, Step("pip_install_private", names, options, secrets=secrets, force_build=force_build))

    def pip_install_from_requirements(
        self,
        requirements_txt: str | os.PathLike[str],
        find_links: str | None = None,
        *,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        gpu: Any = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> Self:
        """Install what a requirements file and the files it includes list; comments and order do not matter.

        (reference: Image.pip_install_from_requirements)
        """
        no_gpu("pip_install_from_requirements", gpu)
        options = _pip_options(find_links, index_url, extra_index_url, pre, extra_options)
        given = (absolute(requirements_txt),)
        step = Step("pip_requirements", options=options, given=given, secrets=secrets, force_build=force_build)
        return self._in(env, step)

    def pip_install_from_pyproject(
        self,
        pyproject_toml: str | os.PathLike[str],
        optional_dependencies: Sequence[str] = (),
        *,
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        gpu: Any = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> Self:
        """Install the dependencies that a pyproject.toml lists, and those of some of its extras.

        (reference: Image.pip_install_from_pyproject)
        """
        no_gpu("pip_install_from_pyproject", gpu)
        options = _pip_options(find_links, index_url, extra_index_url, pre, extra_options)
        given = (absolute(pyproject_toml), needs_list("optional_dependencies", optional_dependencies))
        step = Step("pip_pyproject", options=options, given=given, secrets=secrets, force_build=force_build)
        return self._in(env, step)

    def uv_pip_install(
        self,
        *packages: str | Sequence[str],
        requirements: Sequence[str | os.PathLike[str]] | None = None,
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        uv_version: str | None = None,
        gpu: Any = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> Self:
        """Install Python packages with uv, which is quicker than pip and does not stay in the image.

        (reference: Image.uv_pip_install)
        """
        no_gpu("uv_pip_install", gpu)
        if not packages and not requirements:
            raise InvalidError("Image.uv_pip_install got no packages and no requirements")
        options = _pip_options(find_links, index_url, extra_index_url, pre, extra_options)
        options["uv_version"] = uv_version
        names = strings("uv_pip_install", packages) if packages else ()
        given = tuple(absolute(file) for file in needs_list("requirements", requirements or ()))
        step = Step("uv_pip_install", names, options, given=given, secrets=secrets, force_build=force_build)
        return self._in(env, step)

    def uv_sync(
        self,
        uv_project_dir: str | os.PathLike[str] = "./",
        *,
        groups: Sequence[str] | None = None,
        extras: Sequence[str] | None = None,
        frozen: bool = True,
        extra_options: str = "",
        uv_version: str | None = None,
        gpu: Any = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> Self:
        """Install what a project's uv.lock says, without the project itself. (reference: Image.uv_sync)"""
        no_gpu("uv_sync", gpu)
        folder = absolute(uv_project_dir)
        options: dict[str, str | None] = {
            "groups": ",".join(needs_list("groups", groups or ())) or None,
            "extras": ",".join(needs_list("extras", extras or ())) or None,
            "frozen": None if frozen else "false",
            "extra_options": extra_options or None,
            "uv_version": uv_version,
        }
        step = Step("uv_sync", options=options, given=(folder,), secrets=secrets, force_build=force_build)
        return self._in(env, step)

    def poetry_install_from_file(
        self,
        poetry_pyproject_toml: str | os.PathLike[str],
        poetry_lockfile: str | os.PathLike[str] | None = None,
        *,
        ignore_lockfile: bool = False,
        with_: Sequence[str] = (),
        without: Sequence[str] = (),
        only: Sequence[str] = (),
        poetry_version: str | None = "latest",
        old_installer: bool = False,
        gpu: Any = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> Self:
        """Install what a project's poetry.lock says, without the project itself; poetry does not stay in the image.

        `poetry_lockfile` is by default the one beside the pyproject.toml. `old_installer` is accepted and means
        nothing: pip installs what poetry has resolved. (reference: Image.poetry_install_from_file)
        """
        no_gpu("poetry_install_from_file", gpu)
        project = absolute(poetry_pyproject_toml)
        lock = absolute(poetry_lockfile) if poetry_lockfile is not None else None
        options: dict[str, str | None] = {
            "with": ",".join(needs_list("with_", with_)) or None,
            "without": ",".join(needs_list("without", without)) or None,
            "only": ",".join(needs_list("only", only)) or None,
            "poetry_version": None if poetry_version in (None, "latest") else poetry_version,
        }
        given = (project, lock, bool(ignore_lockfile))
        return self._in(
            env, Step("poetry_install", options=options, given=given, secrets=secrets, force_build=force_build)
        )

    def conda_install(
        self,
        *packages: str | Sequence[str],
        channels: Sequence[str] = (),
        gpu: Any = None,
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> Self:
        """Install conda packages, in an image of `Image.conda()`. (reference: Image.conda_install)"""
        return self._mamba("conda_install", packages, channels, None, gpu, secrets, force_build)

    def conda_update_from_environment(
        self,
        environment_yml: str | os.PathLike[str],
        *,
        gpu: Any = None,
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> Self:
        """Install what an environment file lists, in an image of `Image.conda()`.

        (reference: Image.conda_update_from_environment)
        """
        return self._mamba("conda_update", (), (), environment_yml, gpu, secrets, force_build)

    def micromamba_install(
        self,
        *packages: str | Sequence[str],
        spec_file: str | os.PathLike[str] | None = None,
        channels: Sequence[str] = (),
        gpu: Any = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> Self:
        """Install conda packages with micromamba, in an image of `Image.micromamba()`.

        (reference: Image.micromamba_install)
        """
        with_env: Self = self.env(env or {})
        return with_env._mamba("micromamba_install", packages, channels, spec_file, gpu, secrets, force_build)

    def _in(self, env: Mapping[str, str] | None, step: Step) -> Self:
        with_env: Self = self.env(env or {})
        return with_env._then(step)

    def _mamba(
        self,
        kind: str,
        packages: tuple[str | Sequence[str], ...],
        channels: Sequence[str],
        file: str | os.PathLike[str] | None,
        gpu: Any,
        secrets: Sequence[Any],
        force_build: bool,
    ) -> Self:
        no_gpu(kind, gpu)
        if not packages and file is None:
            raise InvalidError(f"Image.{kind} got no packages")
        names = strings(kind, packages) if packages else ()
        options = {"channels": ",".join(needs_list("channels", channels)) or None}
        given = (absolute(file),) if file is not None else ()
        return self._then(Step(kind, names, options, given=given, secrets=secrets, force_build=force_build))


def _pip_options(
    find_links: str | None, index_url: str | None, extra_index_url: str | None, pre: bool, extra_options: str
) -> dict[str, str | None]:
    return {
        "find_links": find_links,
        "index_url": index_url,
        "extra_index_url": extra_index_url,
        "pre": "true" if pre else None,
        "extra_options": extra_options or None,
    }
