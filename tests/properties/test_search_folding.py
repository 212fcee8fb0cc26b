"""Laws of the folding for the search."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infrastructure.read_models.task_list.folding import fold

# Letters that fold in special ways, and marks that compose with them.
SPECIAL = st.sampled_from("iIıİёЁеЕйЙиИσςΣßẞǰŉᾳΐﬁﬃÅÅΩſK①ﷺ\u0307\u0308\u0306\u0300\u0301\u0323\u0345\u0130\u1e9b가ᄀ")
TEXTS = st.text() | st.text(SPECIAL) | st.text(SPECIAL | st.characters())


@given(TEXTS, st.data())
def test_each_part_of_a_folded_text_is_found_in_it(text: str, data: st.DataObject) -> None:
    folded = fold(text)
    begin = data.draw(st.integers(0, len(folded)))
    part = folded[begin : data.draw(st.integers(begin, len(folded)))]
    assert fold(part) in folded


@given(TEXTS)
@example("ё\u0308\u0308")
@example("\u0130\u0301")
def test_a_folded_text_is_its_own_folded_form(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(TEXTS)
def test_case_and_encoding_make_no_difference(text: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert fold(unicodedata.normalize(form, text)) == fold(text)
    assert fold(unicodedata.normalize("NFC", text).casefold()) == fold(text)


@given(st.text(st.characters(exclude_characters="\0")))
def test_no_nul_appears_and_no_text_disappears(text: str) -> None:
    assert "\0" not in fold(text)
    assert bool(fold(text)) == bool(text)


@pytest.mark.parametrize(
    ("title", "search"),
    [
        ("Доставка Чайника", "и\u0306ника"),
        ("Доставка чаи\u0306ника", "чайник"),
        ("Чайник Й", "И\u0306"),
        ("ΟΔΟΣΑ", "οδος"),
        ("ΟΔΟΣΑ", "ΟΔΟΣ"),
        ("Счёт за ёлку", "счет"),
        ("Счет за елку", "СЧЁТ"),
        ("Счёт", "счe\u0308т".replace("e", "е")),
        ("İstanbul", "istanbul"),
        ("istanbul", "İSTANBUL"),
        ("Straße", "STRASSE"),
        ("ﬁn №5 ①", "FIN no5 1"),
        ("Ａｂｃ", "abc"),
    ],
)
def test_what_a_reader_takes_for_the_same_is_found(title: str, search: str) -> None:
    assert fold(search) in fold(title)
