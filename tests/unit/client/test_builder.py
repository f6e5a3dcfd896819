"""Images of old builders begin with FastAPI, where that is asked for."""

import pytest

from wherry import Image
from wherry.exception import InvalidError


def kinds(image: Image) -> list[str]:
    return [step.kind for step in image._steps]


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHERRY_IMAGE_BUILDER_VERSION", raising=False)
    monkeypatch.delenv("MODAL_IMAGE_BUILDER_VERSION", raising=False)


@pytest.mark.parametrize("name", ["WHERRY_IMAGE_BUILDER_VERSION", "MODAL_IMAGE_BUILDER_VERSION"])
@pytest.mark.parametrize("version", ["2023.12", "2024.04"])
def test_images_of_old_builders_have_fastapi(monkeypatch: pytest.MonkeyPatch, name: str, version: str) -> None:
    monkeypatch.setenv(name, version)
    image = Image.debian_slim().pip_install("fastapi==0.100")
    assert kinds(image) == ["debian_slim", "pip_install", "pip_install"]
    assert image._steps[1].args == ("fastapi", "python-multipart", "aiohttp")
    assert kinds(Image.micromamba()) == ["micromamba", "pip_install"]
    assert kinds(Image.conda()) == ["conda", "pip_install"]
    assert kinds(Image.from_registry("ubuntu:22.04", add_python="3.12")) == [
        "from_registry",
        "add_python",
        "pip_install",
    ]
    # These may have no Python, and a build can't tell.
    assert kinds(Image.from_registry("ubuntu:22.04")) == ["from_registry"]


@pytest.mark.parametrize("version", ["", "2024.10", "2025.06", "PREVIEW"])
def test_others_have_not(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setenv("WHERRY_IMAGE_BUILDER_VERSION", version)
    assert kinds(Image.debian_slim()) == ["debian_slim"]


def test_our_own_variable_counts_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_IMAGE_BUILDER_VERSION", "2025.06")
    monkeypatch.setenv("MODAL_IMAGE_BUILDER_VERSION", "2023.12")
    assert kinds(Image.debian_slim()) == ["debian_slim"]


def test_a_version_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_IMAGE_BUILDER_VERSION", "2023.21")
    with pytest.raises(InvalidError, match=r"WHERRY_IMAGE_BUILDER_VERSION is '2023.21': it is one of 2023.12, 2024.04"):
        Image.debian_slim()
