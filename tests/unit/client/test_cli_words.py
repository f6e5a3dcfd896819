"""What commands say: words that fit what was asked, on a fake service."""

from collections.abc import Callable
from pathlib import Path

import pytest

import wherry
from tests.fakes.service import FakeService
from wherry import exception
from wherry._objects.volume_upload import UploadBatch
from wherry.cli.audit import words_of
from wherry_proto import services
from wherry_proto.messages import (
    AuditEntry,
    AuditListRequest,
    AuditListResponse,
    EnvironmentCreateRequest,
    EnvironmentDeleteRequest,
    EnvironmentInfo,
    EnvironmentListRequest,
    EnvironmentListResponse,
    ImageInfo,
    ImageShowRequest,
    Message,
    ObjectInfo,
    ObjectOpenRequest,
    SecretInfo,
    SecretLookupRequest,
    VolumeCheckRequest,
    VolumeCheckResponse,
)
from wherry_service.api.table import RULES
from wherry_service.objects.names import not_there

Run = Callable[..., int]
Told = pytest.CaptureFixture[str]


class Stored(FakeService):
    """Has objects, secrets and environments; says of others what the service says."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[tuple[str, str]] = set()
        self.environments = {"main": 1}
        self.entries: list[AuditEntry] = []

    def call(self, method: str, request: Message, timeout: float | None = None) -> Message:
        noun, _, verb = method.partition(".")
        if isinstance(request, ObjectOpenRequest) and verb == "Open":
            return self._opened(noun.removesuffix("s").lower(), request)
        return super().call(method, request, timeout)

    def _opened(self, kind: str, request: ObjectOpenRequest) -> ObjectInfo:
        if (kind, request.name) not in self.known:
            if not request.create:
                raise exception.NotFoundError(not_there(kind, request.name, "main", ["other"]))
            self.known.add((kind, request.name))
        return ObjectInfo(object_id=f"{kind[:2]}-1", name=request.name, environment="main")

    def _secrets_lookup(self, request: SecretLookupRequest) -> SecretInfo:
        raise exception.NotFoundError(not_there("secret", request.name, "main", ["tokens"]))

    def _volumes_check(self, request: VolumeCheckRequest) -> VolumeCheckResponse:
        return VolumeCheckResponse(exist=[True for _ in request.uploads], offsets=[0 for _ in request.uploads])

    def _environments_create(self, request: EnvironmentCreateRequest) -> EnvironmentInfo:
        self.environments.setdefault(request.name, 0)
        return EnvironmentInfo(name=request.name)

    def _environments_list(self, request: EnvironmentListRequest) -> EnvironmentListResponse:
        rows = [EnvironmentInfo(name=name, num_apps=apps) for name, apps in self.environments.items()]
        return EnvironmentListResponse(environments=rows)

    def _environments_delete(self, request: EnvironmentDeleteRequest) -> EnvironmentInfo:
        return EnvironmentInfo(name=request.name)

    def _audit_list(self, request: AuditListRequest) -> AuditListResponse:
        return AuditListResponse(entries=self.entries)

    def _images_show(self, request: ImageShowRequest) -> ImageInfo:
        steps = ["FROM wherry/base:bookworm", "pip install numpy"]
        return ImageInfo(image_id="im-1", steps=steps, dockerfile='# im-1\nFROM wherry/base:bookworm\nRUN ["sh"]\n')


@pytest.fixture
def service() -> Stored:
    return Stored()


@pytest.mark.parametrize("kind", ["secret", "volume", "dict", "queue"])
def test_who_deletes_is_not_told_to_create(run: Run, capsys: Told, kind: str) -> None:
    assert run("", kind, "delete", "nope", "-y") == 1
    assert capsys.readouterr().err == f"Error: environment 'main' has no {kind} 'nope'\n"
    assert run("", kind, "delete", "nope", "-y", "--allow-missing") == 0
    assert capsys.readouterr().err == f"Nothing to do: environment 'main' has no {kind} 'nope'\n"


def test_a_near_name_is_still_told_to_who_deletes(run: Run, capsys: Told) -> None:
    assert run("", "dict", "delete", "othr", "-y") == 1
    assert "did you mean 'other'?" in capsys.readouterr().err


def test_a_program_that_deletes_is_not_told_to_create_either(service: Stored) -> None:
    for cls in (wherry.Dict, wherry.Queue, wherry.Volume):
        with pytest.raises(exception.NotFoundError, match=r"has no \w+ 'nope'$"):
            cls.delete("nope")
    # Who wants to use it is.
    with pytest.raises(exception.NotFoundError, match="create it with `wherry dict create nope`"):
        wherry.Dict.lookup("nope")


@pytest.mark.parametrize(("kind", "cls"), [("dict", "Dict"), ("queue", "Queue"), ("volume", "Volume")])
def test_create_says_whether_it_existed(run: Run, capsys: Told, kind: str, cls: str) -> None:
    use = f'Use it as wherry.{cls}.from_name("fresh").\n'
    assert run("", kind, "create", "fresh") == 0
    assert capsys.readouterr().out == f"Created {kind} fresh. {use}"
    assert run("", kind, "create", "fresh") == 0
    assert capsys.readouterr().out == f"{cls} fresh exists already. {use}"


def test_creating_an_environment_says_whether_it_existed(run: Run, capsys: Told) -> None:
    assert run("", "environment", "create", "dev") == 0
    assert capsys.readouterr().out == "Created environment dev. Use it with --env dev, or WHERRY_ENVIRONMENT=dev.\n"
    assert run("", "environment", "create", "dev") == 0
    assert capsys.readouterr().out.startswith("Environment dev exists already. ")


def test_main_can_t_be_deleted_whatever_runs_in_it(run: Run, capsys: Told) -> None:
    for more in ([], ["--force"]):
        assert run("", "environment", "delete", "main", "-y", *more) == 1
        assert capsys.readouterr().err == "Error: environment main can't be deleted: every service has it\n"


def test_a_file_that_exists_names_the_flag_of_who_asks(run: Run, service: Stored, capsys: Told, tmp_path: Path) -> None:
    service.known.add(("volume", "data"))
    file = tmp_path / "f.txt"
    file.write_text("x")
    assert run("", "volume", "put", "data", str(file)) == 1
    assert capsys.readouterr().err == "Error: 'f.txt' is in the volume already: --force replaces\n"
    batch = wherry.Volume.from_name("data").batch_upload()
    assert isinstance(batch, UploadBatch)
    batch.put_file(str(file), "f.txt")
    with pytest.raises(exception.VolumeFileExistsError, match=r"already: batch_upload\(force=True\) replaces$"):
        batch.upload()


def test_a_profile_says_whether_it_is_in_use(
    run: Run, capsys: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WHERRY_CONFIG_PATH", str(tmp_path / "profiles"))
    where = ("--url", "https://work:1", "--token-id", "tk-1", "--token-secret", "ws-1")
    assert run("", "profile", "add", "work", *where) == 0
    told = "It is your first, and in use now: commands go to https://work:1. Undo this with `wherry profile use`.\n"
    assert capsys.readouterr().out.endswith(told)
    assert run("", "profile", "add", "play", *where) == 0
    assert "Not in use yet: `wherry profile use play`" in capsys.readouterr().out
    assert run("", "profile", "add", "work", *where) == 0
    assert capsys.readouterr().out.endswith("It is in use: commands go to https://work:1.\n")


def test_the_audit_log_is_in_words(run: Run, service: Stored, capsys: Told) -> None:
    service.entries = [
        AuditEntry(at_ms=1, token_id="local", action="Apps.Publish", target="ap-1", outcome="ok"),
        AuditEntry(at_ms=1, token_name="ci", action="Tokens.Revoke", target="tk-1", outcome="NOT_FOUND", peer="h:1"),
    ]
    assert run("", "audit", "list") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "this machine's user publish app ap-1 ok" in out
    assert "ci revoke token tk-1 not found h:1" in out
    assert run("", "audit", "list", "--json") == 0
    assert '"action": "Tokens.Revoke"' in capsys.readouterr().out


def test_each_audited_rpc_has_words() -> None:
    audited = [name for name in services.METHODS if RULES[name].audited]
    assert len(audited) > 30
    for name in audited:
        words = words_of(name)
        assert words == words.lower()
        assert "." not in words
    assert words_of("NetworkFileSystems.Rename") == "rename network file system"
    assert words_of("Sandboxes.Terminate") == "terminate sandbox"


def test_an_engine_that_is_away_is_no_fault_of_an_image(run: Run, service: Stored, capsys: Told) -> None:
    service.image_error, service.engine_away = "Docker does not answer: start it", True
    assert run("", "run", "SCRIPT::double", "--n", "1") == 3
    assert "Error: nothing can be built or run: Docker does not answer: start it\n" in capsys.readouterr().err


def test_an_image_s_steps_come_without_their_plumbing(run: Run, capsys: Told) -> None:
    assert run("", "image", "show", f"im-{26 * '1'}") == 0
    assert capsys.readouterr().out == "# im-1\nFROM wherry/base:bookworm\npip install numpy\n"
    assert run("", "image", "show", "--full", f"im-{26 * '1'}") == 0
    assert 'RUN ["sh"]' in capsys.readouterr().out
