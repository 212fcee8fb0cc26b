"""Grams of titles: a title has all grams of each text that it contains, and grams of other organisations are others."""

from hypothesis import given
from hypothesis import strategies as st

from infrastructure.read_models.task_list.grams import search_grams, title_grams

ORGANIZATIONS = st.integers(0, 1 << 40)
TEXTS = st.text(max_size=40)


@given(ORGANIZATIONS, TEXTS, st.text(min_size=1, max_size=4), TEXTS)
def test_a_title_has_the_grams_of_each_text_in_it(organization_id: int, before: str, text: str, after: str) -> None:
    assert set(search_grams(organization_id, text)) <= set(title_grams(organization_id, before + text + after))


def test_a_pair_is_not_taken_for_its_reverse_nor_a_character_for_a_pair() -> None:
    """Check examples only: 32 bits can collide, and then the search compares the text itself."""
    assert search_grams(1, "аб") != search_grams(1, "ба")
    assert search_grams(1, "а") != search_grams(1, "аа")


def test_a_search_of_two_letters_is_one_gram_of_32_bits() -> None:
    (gram,) = search_grams(1, "щф")
    assert -(1 << 31) <= gram < 1 << 31
    assert search_grams(65, "щф") != [gram]
    assert gram not in title_grams(65, "щф")


def test_grams_are_those_of_the_stored_rows() -> None:
    """Check that they never change: the rows of task_list hold them."""
    assert title_grams(1, "ок") == [-2093823925, 376104845, 1609723273]
