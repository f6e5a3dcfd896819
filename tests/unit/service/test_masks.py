"""Secret values in what containers print."""

import pytest

from wherry_service.logs.batch import LogRow
from wherry_service.logs.masks import Masks


def row(text: str, goes_on: bool = False, stream: int = 1, input_id: str = "in-1") -> LogRow:
    return (stream, input_id, 5, text, goes_on)


def masked(values: list[str], text: str) -> str:
    masks = Masks()
    masks.add("ap-1", values)
    return masks.masker("ap-1", "co-1").text(text)


@pytest.mark.parametrize(
    ("values", "text", "shown"),
    [
        (["hunter22"], "password=hunter22;", "password=****;"),
        (["hunter22"], "hunter22hunter22", "****"),
        (["hunter22", "hunter2"], "hunter22 hunter2", "**** ****"),
        # Overlapping ones leave nothing of either.
        (["abcdef", "defghi"], "xabcdefghix", "x****x"),
        (["a.c*"], "a.c* abc", "**** abc"),
        (["first line\n  second line\n"], "got second line", "got ****"),
        (['quo"te\\d\n€nd'], '{"k": "quo\\"te\\\\d\\n\\u20acnd"}', '{"k": "****"}'),
        (["it's\tme"], repr(["it's\tme"]), '["****"]'),
        (["abc", "", "no"], "abc no", "abc no"),
        (["schlüssel€"], "mein schlüssel€!", "mein ****!"),
        (["k" * 3000], "k" * 3000, "****"),
    ],
)
def test_b65_values_are_replaced(values: list[str], text: str, shown: str) -> None:
    assert masked(values, text) == shown


def test_values_are_those_of_the_app_and_of_the_container() -> None:
    masks = Masks()
    masks.add("ap-1", ["of-the-app"])
    masks.add("co-1", ["of-the-container"])
    line = "of-the-app of-the-container"
    assert masks.masker("ap-1", "co-1").text(line) == "**** ****"
    assert masks.masker("ap-1", "co-2").text(line) == "**** of-the-container"
    assert masks.masker("ap-2", "co-2").text(line) == line


def test_what_is_masked_already_is_no_change() -> None:
    masks = Masks()
    masks.add("ap-1", ["hunter22", "hunter33"])
    before = masks.version
    masks.add("ap-1", ["hunter33"])
    assert masks.version == before


def test_values_count_from_when_they_are_added_until_they_are_forgotten() -> None:
    masks = Masks()
    masker = masks.masker("ap-1", "co-1")
    rows = [row("hunter22")]
    assert masker.rows(rows) is rows
    masks.add("ap-1", ["hunter22"])
    assert masker.rows(rows) == [row("****")]
    masks.forget("ap-1")
    assert masker.rows(rows) == rows


@pytest.mark.parametrize("cut", range(1, 8))
def test_b65_a_value_split_over_two_chunks_of_one_line(cut: int) -> None:
    masks = Masks()
    masks.add("ap-1", ["hunter22"])
    masker = masks.masker("ap-1", "co-1")
    (first,) = masker.rows([row("x" * 10 + "hunter22"[:cut], goes_on=True)])
    # Other lines come between.
    between = [row("hunt", stream=2), row("hunt", input_id="in-2")]
    assert masker.rows(between) == between
    (second,) = masker.rows([row("hunter22"[cut:] + " rest")])
    assert first[3] + second[3] == "x" * 10 + "**** rest"
    assert (first[4], second[4]) == (True, False)


def test_what_only_looked_like_a_value_is_shown_with_the_rest_of_its_line() -> None:
    masks = Masks()
    masks.add("ap-1", ["hunter22", "22 and more"])
    masker = masks.masker("ap-1", "co-1")
    rows = [row("we hunt", goes_on=True), row("ed it; hunter22", goes_on=True), row(" for long")]
    assert "".join(text for _, _, _, text, _ in masker.rows(rows)) == "we hunted it; **** for long"
    assert masker.rest(7) == []


def test_the_kept_end_of_a_line_that_never_ended_is_masked_whole() -> None:
    masks = Masks()
    masks.add("ap-1", ["hunter22"])
    masker = masks.masker("ap-1", "co-1")
    masker.rows([row("almost hunter2", goes_on=True)])
    assert masker.rest(7) == [(1, "in-1", 7, "****", False)]
