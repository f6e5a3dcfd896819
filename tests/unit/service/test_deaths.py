"""A container that ran out of memory is told so, whichever of the engine's two words comes first."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from wherry_service.engines.engine import EngineUnreachable
from wherry_service.node import deaths
from wherry_service.node.deaths import death_of


class Engine:
    """Answers, one after another, with what a test says; then always with the last."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def inspect(self, engine_id: str) -> Any:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def ended(oom: bool = False, code: int = 137) -> Any:
    return SimpleNamespace(running=False, exit_code=code, oom_killed=oom, memory_limit_mib=160)


def ask(engine: Engine, exit_code: int | None = 137, told: Any = lambda: False, is_ours: bool = False) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(10):
            return await death_of(engine, "e", exit_code, told, is_ours)  # type: ignore[arg-type]

    return asyncio.run(main())


def test_the_word_comes_before_the_end() -> None:
    engine = Engine(ended())
    assert ask(engine, told=lambda: True).oom_killed
    assert engine.asked == 1


def test_the_word_comes_after_the_end() -> None:
    told = iter([False, False, True])
    assert ask(Engine(ended()), told=lambda: next(told, True)).oom_killed


def test_the_engines_answer_is_late() -> None:
    assert ask(Engine(ended(), ended(), ended(oom=True))).oom_killed


def test_the_exit_code_is_the_engines_where_the_end_was_missed() -> None:
    death = ask(Engine(ended(), ended(oom=True)), exit_code=None)
    assert (death.exit_code, death.oom_killed) == (137, True)
    # Of a container that an earlier life made, nobody else knows it.
    assert death.memory_limit_mib == 160


def test_one_that_was_killed_otherwise_is_waited_for_and_told_as_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaths, "OOM_LATE_S", 0.06)
    engine = Engine(ended())
    assert not ask(engine).oom_killed
    assert engine.asked > 1


@pytest.mark.parametrize(("code", "is_ours"), [(137, True), (1, False), (0, False), (139, False)])
def test_nobody_waits_where_memory_is_not_the_question(code: int, is_ours: bool) -> None:
    engine = Engine(ended(code=code))
    assert not ask(engine, code, is_ours=is_ours).oom_killed
    assert engine.asked == 1


def test_an_engine_that_does_not_answer_has_said_what_it_has_said() -> None:
    assert ask(Engine(EngineUnreachable("away")), told=lambda: True).oom_killed
