"""The texts that requests carry. None of them holds NUL, which Postgres cannot store."""

from typing import Annotated

from msgspec import Meta

NO_NUL = r"^[^\u0000]*$"
TITLE = r"^\s*[^\s\u0000](?:[^\u0000]{0,498}[^\s\u0000])?\s*$"
NAME = r"^\s*[^\s\u0000](?:[^\u0000]{0,198}[^\s\u0000])?\s*$"
PHONE = r"^[^\u0000]*[0-9][^\u0000]*[0-9][^\u0000]*$"
URL = r"^[hH][tT][tT][pP][sS]?://[^\s/?#\u0000][^\s\u0000]*$"
PAUSE = r"^0{0,5}([0-9]{1,5}|[1-5][0-9]{5}|60[0-3][0-9]{3}|604[0-7][0-9]{2}|604800)$"
DATE_OR_SECONDS = r"^([0-9]{1,8}|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})$"

TOLD = {
    NO_NUL: ("Expected no NUL character", "string_pattern_mismatch"),
    TITLE: ("Expected 1 to 500 characters, not all of them blank", "string_length"),
    NAME: ("Expected 1 to 200 characters, not all of them blank", "string_length"),
    PHONE: ("Expected a phone number", "phone_number"),
    URL: ("Expected an http or https address", "url_parsing"),
    PAUSE: ("Expected 0 to 604800 seconds", "int_parsing"),
    DATE_OR_SECONDS: ("Expected YYYY-MM-DD HH:MM:SS in UTC, or seconds from now", "datetime_parsing"),
}
"""What a text that misses its pattern is told, with a stable word for it."""

Title = Annotated[str, Meta(pattern=TITLE, examples=["Перезвонить по поводу счёта"])]
Name = Annotated[str, Meta(pattern=NAME, examples=["Айгуль Сатпаева"])]
Phone = Annotated[str, Meta(pattern=PHONE, max_length=64, examples=["+77011234567"])]
Line = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=64, examples=["101"])]
WebAddress = Annotated[str, Meta(pattern=URL, max_length=2_048, examples=["https://calls.example/4711.mp3"])]
Id = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=128)]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Text200 = Annotated[str, Meta(pattern=NO_NUL, max_length=200)]
Text2000 = Annotated[str, Meta(pattern=NO_NUL, max_length=2_000)]
Text20000 = Annotated[str, Meta(pattern=NO_NUL, max_length=20_000)]
Text1000000 = Annotated[str, Meta(pattern=NO_NUL, max_length=1_000_000)]
