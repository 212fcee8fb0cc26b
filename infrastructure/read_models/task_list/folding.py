"""Folding of texts for the search: texts that a reader takes for the same text have the same folded form."""

import unicodedata


def fold(text: str) -> str:
    """Return the text without differences of case and of encoding, and with the Russian ё as е.

    The folded form is in NFKC and case-folded; U+0307 after i is dropped, because İ folds to both. A folded text, and each
    part of it, is its own folded form, so a part of a folded text is found in it.
    """
    if text.isascii():
        return text.lower()
    while True:
        cased = unicodedata.normalize("NFKC", text).casefold()
        folded = unicodedata.normalize("NFKC", cased)
        plain = folded.replace("ё", "е").replace("i\u0307", "i")
        if plain in (cased, text):
            return plain
        text = plain  # one step may make another one possible: the next mark composes with what is left
