"""Commands and options of Modal's command line that there can't be: each says why, and what to do."""

from typing import Any

import pytest

from wherry.cli import main as cli
from wherry.cli._elsewhere import _COMMANDS, _OPTIONS


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[Any, str, str]:
    monkeypatch.setattr("sys.argv", ["wherry", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return ended.value.code, out, err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("billing report --for 2025-01 --json", "there is no wherry billing report: nobody sends you a bill"),
        ("workspace members list", "there is no wherry workspace members: there are no accounts"),
        ("environment roles update dev x --role y", "tokens say who may do what"),
        ("endpoint create --model m", "serve a model with"),
        ("setup", "write yours down with `wherry profile add`"),
        ("token set --token-id a --token-secret b", "write yours down with `wherry profile add`"),
        ("app promote x 3", "go back with `wherry app rollback`"),
        ("app dashboard x", "open it with `wherry dashboard`"),
        ("environment create x --restricted", "wherry environment create has no --restricted: there are no accounts"),
        ("token new x --expires-in 3d", "wherry token new has no --expires-in: "),
    ],
)
def test_a_command_that_is_refused_says_why(
    words: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = told(monkeypatch, capsys, *words.split())
    assert (code, out) == (2, "")
    assert said in err


def test_an_option_that_means_nothing_is_ignored_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = told(monkeypatch, capsys, "shell", "--cloud", "aws", "--help")
    assert code == 0
    assert err == ""  # whoever asks for help gets help
    assert "--cloud" not in out
    code, _, err = told(monkeypatch, capsys, "shell", "--region", "eu", "--nonsense")
    assert code == 2
    assert "--nonsense" in err


def test_none_of_them_is_in_a_help_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown = {
        " ".join([*group, line.split()[0]])
        for group in ([], ["app"], ["environment"], ["server"], ["token"], ["volume"])
        for line in told(monkeypatch, capsys, *group, "--help")[1].splitlines()
        if line.strip()
    }
    assert set(_COMMANDS) & shown == set()
    for words, options in _OPTIONS.items():
        text = told(monkeypatch, capsys, *words.split(), "--help")[1]
        assert not any(spelling.split("/")[0] in text for spelling in options)
