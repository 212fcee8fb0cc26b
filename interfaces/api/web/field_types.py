"""Annotated types of request fields, their patterns and the errors of those. No text holds NUL: Postgres cannot store it."""

from typing import Annotated

from msgspec import Meta

from domain.limits import (
    COMMENT_MAX,
    DESCRIPTION_MAX,
    ID_MAX,
    NAME_MAX,
    PAUSE_MAX_S,
    PHONE_MAX,
    TITLE_MAX,
    TRANSCRIPTION_MAX,
    URL_MAX,
)

NO_NUL = r"^[^\u0000]*$"
TITLE = rf"^\s*[^\s\u0000](?:[^\u0000]{{0,{TITLE_MAX - 2}}}[^\s\u0000])?\s*$"
NAME = rf"^\s*[^\s\u0000](?:[^\u0000]{{0,{NAME_MAX - 2}}}[^\s\u0000])?\s*$"
PHONE = r"^[^\u0000]*\d[^\u0000]*\d[^\u0000]*$"  # \d: any Unicode digit
URL = r"^[hH][tT][tT][pP][sS]?://[^\s/?#\u0000][^\s\u0000]*$"
PAUSE = r"^0{0,5}([0-9]{1,5}|[1-5][0-9]{5}|60[0-3][0-9]{3}|604[0-7][0-9]{2}|604800)$"
TASK_ID = r"^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
DATE_OR_SECONDS = r"^([0-9]{1,8}|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})$"

PATTERN_ERRORS = {
    NO_NUL: ("Expected text without NUL characters", "string_pattern_mismatch"),
    TITLE: (f"Expected 1 to {TITLE_MAX} characters, not all of them white space", "string_length"),
    NAME: (f"Expected 1 to {NAME_MAX} characters, not all of them white space", "string_length"),
    PHONE: ("Expected a phone number with at least two digits", "phone_number"),
    URL: ("Expected an absolute URL with http or https", "url_parsing"),
    TASK_ID: ("Expected the id of a task, which is a UUID in lower case", "uuid_parsing"),
    PAUSE: (f"Expected 0 to {PAUSE_MAX_S} seconds", "int_parsing"),
    DATE_OR_SECONDS: (
        "Expected a UTC time as YYYY-MM-DD HH:MM:SS, or a number of seconds from now",
        "datetime_parsing",
    ),
}
"""Message and code of a text that does not match the pattern."""

POSITION_MAX = 2**53 - 1
"""The greatest log position: the greatest integer that every JSON parser keeps exactly (RFC 8259 §6)."""

NUMBER_MAX = 10**18 - 1
"""The greatest number of a queue or callback."""

_UNTRIMMED_MAX = 10_000  # characters with surrounding white space: the pattern takes 0.1 s for a text of 8 MiB

Title = Annotated[str, Meta(pattern=TITLE, max_length=_UNTRIMMED_MAX, examples=["Перезвонить по поводу счёта"])]
Name = Annotated[str, Meta(pattern=NAME, max_length=_UNTRIMMED_MAX, examples=["Айгуль Сатпаева"])]
Phone = Annotated[str, Meta(pattern=PHONE, max_length=PHONE_MAX, examples=["+77011234567"])]
Line = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=PHONE_MAX, examples=["1001"])]
RecordingUrl = Annotated[str, Meta(pattern=URL, max_length=URL_MAX, examples=["https://calls.example/4711.mp3"])]
Id = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=ID_MAX)]
ShortText = Annotated[str, Meta(pattern=NO_NUL, max_length=NAME_MAX)]
CommentText = Annotated[str, Meta(pattern=NO_NUL, max_length=COMMENT_MAX)]
LongText = Annotated[str, Meta(pattern=NO_NUL, max_length=DESCRIPTION_MAX)]
TranscriptionText = Annotated[str, Meta(pattern=NO_NUL, max_length=TRANSCRIPTION_MAX)]
