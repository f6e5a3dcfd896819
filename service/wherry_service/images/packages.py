"""Steps that install packages: their caches are an environment's own, their tools do not stay in the image."""

import re
import shlex
from collections.abc import Iterable

from wherry_proto.messages import ImageStep
from wherry_service.errors import InvalidRequest
from wherry_service.images.render import Instruction, Renderer, Rendering

_APT_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+:~=*_-]*\Z", re.IGNORECASE)
_PRIVATE = re.compile(r"([A-Za-z0-9.-]+(?::\d+)?)/([A-Za-z0-9._/-]+?)(?:\.git)?(@[A-Za-z0-9._/-]+)?\Z")
_INDEX_OPTIONS = {"index_url": "--index-url", "extra_index_url": "--extra-index-url", "find_links": "--find-links"}
_TOOLS = "/var/cache/wherry-tools"
_PIP_QUIET = (
    "export HOME=/root PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_PROGRESS_BAR=off "
    "PIP_BREAK_SYSTEM_PACKAGES=1; "
)
# pip compiles one file after the other, which takes it as long as all else does: here all processors do. What has no
# valid syntax is passed over, as by pip.
_COMPILE = (
    'python3 -I -c "import compileall, sysconfig; '
    "[compileall.compile_dir(sysconfig.get_path(name), quiet=2, workers=0) for name in {'purelib', 'platlib'}]\" "
    "|| true"
)
# Tools that do not read pip's settings are told of the host's index; poetry's own way of asking, besides the one that
# every index has, is one that mirrors lack.
_PIP_GET = "env -u PYTHONPATH $pip config get global."
# Whose tools pip installs, which the image may lack: then there is a wheel of it, which runs as it is.
NEED_PIP = frozenset({"uv_pip_install", "uv_sync", "poetry_install"})
_PIP_WHEEL = "/run/wherry-tools/pip.whl"
_UV_INDEX = (
    f'index="$({_PIP_GET}index-url 2>/dev/null || true)"; [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"; '
    f'index="$({_PIP_GET}extra-index-url 2>/dev/null || true)"; [ -z "$index" ] || export UV_INDEX="$index"; '
)
_POETRY_INDEX = (
    f'POETRY_PYPI_MIRROR_URL="$({_PIP_GET}index-url 2>/dev/null || env PYTHONPATH="$wheel" python3 -c '
    '"from pip._internal.models.index import PyPI; print(PyPI.simple_url)")"; export POETRY_PYPI_MIRROR_URL; '
)
_TOKENS = {"github": "GITHUB_TOKEN", "gitlab": "GITLAB_TOKEN"}


def _apt_install(renderer: Renderer, step: ImageStep, number: int) -> list[Instruction]:
    for package in step.args:
        if not _APT_PACKAGE.match(package):
            raise InvalidRequest(f"apt_install: {package[:80]!r} is not the name of a package")
    if not step.args:
        return []
    packages = _joined(step.args)
    command = (
        "rm -f /etc/apt/apt.conf.d/docker-clean; export DEBIAN_FRONTEND=noninteractive; "
        f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {packages}"
    )
    return [renderer.run(step, number, command, f"apt install {packages}", _apt_caches(renderer), as_root=True)]


def _pip_install(renderer: Renderer, step: ImageStep, number: int) -> list[Instruction]:
    if not step.args:
        return []
    _no_options("pip_install", step.args)
    packages = _joined(step.args)
    command = f"{_PIP_QUIET}{_pip(step, packages)}"
    return [renderer.run(step, number, command, f"pip install {packages}", [_pip_cache(renderer)], as_root=True)]


def _pip_requirements(renderer: Renderer, step: ImageStep, number: int) -> list[Instruction]:
    written, files = _written(step)
    command = f"{_PIP_QUIET}{written}{_pip(step, files)}"
    title = f"pip install {_listed(step)}"
    return [
        renderer.run(
            step, number, command, title, [_pip_cache(renderer), "type=tmpfs,target=/run/wherry-tmp"], as_root=True
        )
    ]


def _pip_install_private(renderer: Renderer, step: ImageStep, number: int) -> list[Instruction]:
    user = step.options.get("git_user", "")
    lines = ["command -v git >/dev/null || { apt-get update -qq && apt-get install -y -qq git; } >/dev/null"]
    urls: list[str] = []
    hosts: dict[str, str] = {}
    for repository in step.args:
        match = _PRIVATE.match(repository)
        if match is None:
            raise InvalidRequest(
                f"pip_install_private_repos: {repository[:80]!r} is not host/owner/repo, with @ and a ref or without"
            )
        hosts[match[1]] = _TOKENS.get(match[1].partition(".")[0], "GIT_TOKEN")
        urls.append(f"git+https://{match[1]}/{match[2]}.git{match[3] or ''}")
    # Git gets the token by its configuration: it is in no URL that pip or git print or keep.
    for index, (host, name) in enumerate(hosts.items()):
        lines.append(
            f': "${{{name}:?the secrets of pip_install_private_repos have no {name}, which {host} wants}}"; '
            f'export GIT_CONFIG_KEY_{index}="url.https://{shlex.quote(user)}:${name}@{host}/.insteadOf" '
            f"GIT_CONFIG_VALUE_{index}=https://{host}/"
        )
    lines.append(f"export GIT_CONFIG_COUNT={len(hosts)} GIT_TERMINAL_PROMPT=0")
    command = "; ".join(
        (*lines, f"{_PIP_QUIET}python3 -m pip install {_options(step)}{' '.join(shlex.quote(url) for url in urls)}")
    )
    title = f"pip install {_joined(step.args)}"
    return [
        renderer.run(
            step, number, f"set -e; {command}", title, [_pip_cache(renderer), *_apt_caches(renderer)], as_root=True
        )
    ]


def _uv_pip_install(renderer: Renderer, step: ImageStep, number: int) -> list[Instruction]:
    _no_options("uv_pip_install", step.args)
    written, files = _written(step)
    packages = " ".join(part for part in (_joined(step.args), files) if part)
    tool = _tool(renderer, "uv", step) + (_UV_INDEX if renderer.lent.pip else "")
    command = f"set -e; {tool}{written}{_uv_install(step, packages)}"
    return [
        renderer.run(
            step, number, command, f"uv pip install {_listed(step)}", _uv_mounts(renderer, number), as_root=True
        )
    ]


def _uv_sync(renderer: Renderer, step: ImageStep, number: int) -> list[Instruction]:
    frozen = "--frozen " if step.options.get("frozen") != "false" else ""
    groups = "".join(f"--group {shlex.quote(name)} " for name in _split(step.options.get("groups")))
    extras = "".join(f"--extra {shlex.quote(name)} " for name in _split(step.options.get("extras")))
    command = (
        f"set -e; {_tool(renderer, 'uv', step)}{_UV_INDEX if renderer.lent.pip else ''}"
        "cp -R /run/wherry-step/. /run/wherry-tmp/; "
        f'"$tool" export --project /run/wherry-tmp --quiet {frozen}--no-emit-project --no-emit-workspace '
        f"{groups}{extras}--format requirements-txt -o /run/wherry-tmp/requirements.txt; "
        + _uv_install(step, "-r /run/wherry-tmp/requirements.txt")
    )
    mounts = [*_uv_mounts(renderer, number), f"type=bind,source=s{number},target=/run/wherry-step"]
    return [renderer.run(step, number, command, "uv sync", mounts, as_root=True)]


def _poetry_install(renderer: Renderer, step: ImageStep, number: int) -> list[Instruction]:
    flags = "".join(
        f"--{name} {shlex.quote(step.options[name])} " for name in ("with", "without", "only") if step.options.get(name)
    )
    poetry = '"$tool" -C /run/wherry-tmp --no-ansi -n '
    lock = "" if any(file.path == "poetry.lock" for file in step.files) else f"{poetry}lock; "
    command = (
        f"set -e; {_tool(renderer, 'poetry', step, 'poetry-plugin-export', 'poetry-plugin-pypi-mirror')}{_POETRY_INDEX}"
        f"cp -R /run/wherry-step/. /run/wherry-tmp/; {lock}"
        f"{poetry}export {flags}-f requirements.txt -o /run/wherry-tmp/requirements.txt; "
        f"unset PYTHONPATH; {_PIP_QUIET}$pip install -r /run/wherry-tmp/requirements.txt"
    )
    files = f"type=bind,source=s{number},target=/run/wherry-step"
    mounts = [*_tool_mounts(renderer, number), files]
    return [renderer.run(step, number, command, "poetry install", mounts, as_root=True)]


def _conda_install(renderer: Renderer, step: ImageStep, number: int) -> list[Instruction]:
    program = "micromamba" if step.kind == "micromamba_install" else "conda"
    _no_options(step.kind, step.args)
    channels = "".join(f"-c {shlex.quote(name)} " for name in _split(step.options.get("channels")))
    mounts = [_conda_cache(renderer)]
    what = _joined(step.args)
    if step.files:
        mounts.append(f"type=bind,source=s{number},target=/run/wherry-step")
        what += f" --file /run/wherry-step/{shlex.quote(step.files[0].path)}"
    command = f"{program} install -n base -y -q {channels}{what}"
    return [renderer.run(step, number, command, f"{program} install {what}", mounts, as_root=True)]


def _conda_update(renderer: Renderer, step: ImageStep, number: int) -> list[Instruction]:
    if len(step.files) != 1:
        raise InvalidRequest("conda_update_from_environment takes one file: the environment.yml")
    mounts = [_conda_cache(renderer), f"type=bind,source=s{number},target=/run/wherry-step"]
    command = f"conda env update -n base -q -f /run/wherry-step/{shlex.quote(step.files[0].path)}"
    return [renderer.run(step, number, command, f"conda env update {step.files[0].path}", mounts, as_root=True)]


def base_instructions(renderer: Renderer, step: ImageStep) -> list[Instruction]:
    """Return what a base that is pulled needs before its steps: conda's wanted Python, on the path."""
    if step.kind not in ("conda", "micromamba"):
        return []
    version = step.options.get("python_version", "")
    wanted = f"python={version}" if version else "python"
    channel = "-c conda-forge " if step.kind == "micromamba" else ""
    found = [Instruction("USER 0:0", "user 0", user="0"), Instruction('ENV PATH="/opt/conda/bin:$PATH"', "env PATH")]
    if version or step.kind == "micromamba":
        command = f"{step.kind} install -n base -y -q {channel}{wanted} pip"
        found.append(renderer.run(step, 0, command, f"{step.kind} install {wanted}", [_conda_cache(renderer)]))
    return found


PACKAGES: dict[str, Rendering] = {
    "apt_install": _apt_install,
    "pip_install": _pip_install,
    "pip_requirements": _pip_requirements,
    "pip_install_private": _pip_install_private,
    "uv_pip_install": _uv_pip_install,
    "uv_sync": _uv_sync,
    "poetry_install": _poetry_install,
    "conda_install": _conda_install,
    "micromamba_install": _conda_install,
    "conda_update": _conda_update,
}


def _tool(renderer: Renderer, name: str, step: ImageStep, *also: str) -> str:
    """Return the shell text that sets $tool to a program in the cache, installing it there when it is missing.

    $pip is then the image's pip, or ours where it has none; $wheel where that is.
    """
    version = step.options.get(f"{name}_version")
    wanted = " ".join(shlex.quote(item) for item in (f"{name}=={version}" if version else name, *also))
    place = f"{_TOOLS}/{'-'.join((name, version or 'latest', *also))}"
    # By Python's version: the next image may have another.
    pip = 'pip="python3 -m pip"; wheel=""; '
    if renderer.lent.pip_wheel:
        has_pip = 'python3 -c "import pip" 2>/dev/null'
        pip += f'{has_pip} || {{ wheel={_PIP_WHEEL}; pip="python3 $wheel/pip"; }}; '
    return (
        f'{_PIP_QUIET}{pip}place={place}-$(python3 -c "import sys; print(sys.version_info[:2])" | tr -dc 0-9); '
        f'tool="$place/bin/{name}"; '
        f'[ -x "$tool" ] || $pip install -q --upgrade --target "$place" {wanted}; '
        f'export PYTHONPATH="$place"; '
    )


def _pip(step: ImageStep, what: str) -> str:
    """Return the shell text that installs with pip."""
    if step.options.get("extra_options"):
        # It may be told to install elsewhere.
        return f"python3 -m pip install {_options(step)}{what}"
    return f"python3 -m pip install --no-compile {_options(step)}{what} && {{ {_COMPILE}; }}"


def _uv_install(step: ImageStep, what: str) -> str:
    options = _options(step, uv=True)
    return (
        'unset PYTHONPATH; "$tool" pip install --python "$(command -v python3)" --system --break-system-packages '
        f"--link-mode copy --no-progress {options}{what}"
    )


def _uv_mounts(renderer: Renderer, number: int) -> list[str]:
    return [renderer.cache("uv", "/root/.cache/uv"), *_tool_mounts(renderer, number)]


def _apt_caches(renderer: Renderer) -> tuple[str, str]:
    return (
        renderer.cache("apt", "/var/cache/apt", locked=True),
        renderer.cache("apt-lists", "/var/lib/apt/lists", locked=True),
    )


def _pip_cache(renderer: Renderer) -> str:
    return renderer.cache("pip", "/root/.cache/pip")


def _conda_cache(renderer: Renderer) -> str:
    return renderer.cache("conda", "/opt/conda/pkgs", locked=True)


def _tool_mounts(renderer: Renderer, number: int) -> list[str]:
    found = [_pip_cache(renderer), renderer.cache("tools", _TOOLS, locked=True), "type=tmpfs,target=/run/wherry-tmp"]
    if renderer.lent.pip_wheel:
        found.append(f"type=bind,source={tools_of(number)},target={_PIP_WHEEL.rpartition('/')[0]}")
    return found


def tools_of(number: int) -> str:
    """Return the directory of a build's context in which a step finds pip's wheel."""
    return f"s{number}-tools"


def _written(step: ImageStep) -> tuple[str, str]:
    """Return the shell text that writes a step's requirements to files, and the options that name these."""
    written = files = ""
    for name, flag in (("requirements", "-r"), ("constraints", "-c")):
        if text := step.options.get(name):
            written += f"printf '%s\\n' {shlex.quote(text)} > /run/wherry-tmp/{name}.txt; "
            files += f"{flag} /run/wherry-tmp/{name}.txt "
    return written, files.strip()


def _options(step: ImageStep, uv: bool = False) -> str:
    options = [
        f"{flag} {shlex.quote(step.options[name])} " for name, flag in _INDEX_OPTIONS.items() if step.options.get(name)
    ]
    if step.options.get("pre") == "true":
        options.append("--prerelease allow " if uv else "--pre ")
    if extra := step.options.get("extra_options"):
        options.append(f"{extra} ")
    return "".join(options)


def _no_options(method: str, packages: Iterable[str]) -> None:
    for package in packages:
        if package.startswith("-"):
            raise InvalidRequest(f"{method}: {package[:80]!r} is an option: use extra_options=")


def _joined(packages: Iterable[str]) -> str:
    return " ".join(shlex.quote(package) for package in sorted(set(packages)))


def _listed(step: ImageStep) -> str:
    lines = step.options.get("requirements", "").splitlines()
    return " ".join((*sorted(set(step.args)), *lines))


def _split(text: str | None) -> list[str]:
    return [part for part in (text or "").split(",") if part]
