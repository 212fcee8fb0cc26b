"""Grams of titles: the index of searches that are too short for trigrams.

A gram stands for a character or a pair of neighbours, in one organisation: a search reads no titles of other organisations.
"""

from itertools import pairwise

_PAIR = 0x9E37_79B9_7F4A_7C15  # odd, with well mixed bits: Knuth's multiplicative hashing
_ORGANIZATION = 0xC2B2_AE3D_27D4_EB4F
_MASK = (1 << 64) - 1
_SIGN = 1 << 31


def title_grams(organization_id: int, folded: str) -> list[int]:
    """Return the grams of a folded title, ascending: a 32-bit hash of each character and of each pair of neighbours."""
    codes = [*map(ord, folded)]
    pairs = {first << 21 | second for first, second in pairwise(codes)}
    return _hashed(organization_id, pairs | {code << 21 for code in codes})


def search_grams(organization_id: int, folded: str) -> list[int]:
    """Return the grams that all titles have which contain the folded text: of its pairs, or of its only character."""
    codes = [*map(ord, folded)]
    pairs = {first << 21 | second for first, second in pairwise(codes)}
    return _hashed(organization_id, pairs or {code << 21 for code in codes})


def _hashed(organization_id: int, grams: set[int]) -> list[int]:
    base = organization_id * _ORGANIZATION
    return sorted(((gram * _PAIR + base & _MASK) >> 32) - _SIGN for gram in grams)
