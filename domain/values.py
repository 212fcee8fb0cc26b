"""Values with their rules: titles."""

from domain.errors import InvalidField
from domain.limits import TITLE_MAX


def trimmed_title(text: str) -> str:
    """Return the title without surrounding white space.

    Raises InvalidField on ``title`` if the result is empty or has more than TITLE_MAX characters
    (docs/contracts/tasks.md, Fields).
    """
    title = text.strip()
    if not title:
        raise InvalidField("title", "Expected a title with at least one visible character", "string_too_short")
    if len(title) > TITLE_MAX:
        raise InvalidField("title", f"Expected at most {TITLE_MAX} characters", "string_too_long")
    return title
