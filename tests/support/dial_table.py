"""Spellings and kinds of numbers, with the result of each: the same wherever a number enters."""

from typing import NamedTuple

EMERGENCY, SHORT = "emergency_number", "short_number"
REGION, TYPE = "region_not_allowed", "number_type_not_allowed"
UNREADABLE = "phone_number"
TEXT_OF_UNREADABLE = "Expected a phone number"


class Row(NamedTuple):
    """A number as it is written, and the region of the organisation; then how it is stored, or why it is refused."""

    text: str
    region: str
    stored: str | None
    rule: str | None = None

    @property
    def is_extension(self) -> bool:
        """Return whether the text is a number of 2 to 8 digits, which is no phone number of a task."""
        return len(self.text) <= 8 and self.text.isdecimal()


KZ = "+77011234567"
OFFICE = "+77272500001"

ROWS = [
    # spellings of one number
    *(
        Row(text, "KZ", KZ)
        for text in (
            "+77011234567", "+7 701 123 45 67", "+7 (701) 123-45-67", "8 701 123 45 67", "87011234567", "8(701)1234567",
            "7011234567", "  +7 701 123 45 67 ", "+7-701-123-45-67", "+7.701.123.45.67", "8 10 7 701 123 45 67", "tel:+77011234567",
            "＋７７０１１２３４５６７", "８ ７０１ １２３ ４５ ６７", "٨٧٠١١٢٣٤٥٦٧", "+7 ７01 123 45 67",
        )
    ),
    # a digit too few or too many
    Row("8 701 000 10 0", "KZ", None, UNREADABLE),
    Row("8 701 123 45 6", "KZ", None, UNREADABLE),
    Row("701 123 45 6", "KZ", None, UNREADABLE),
    Row("8 701 123 45 678", "KZ", None, UNREADABLE),
    Row("+7 701 123 45 6", "KZ", None, UNREADABLE),
    Row("020 7946 095", "GB", None, UNREADABLE),
    Row("(212) 555-123", "US", None, UNREADABLE),
    Row("123-45-67", "KZ", None, UNREADABLE),
    # an extension behind a number
    Row("+7 727 250 00 01 доб. 123", "KZ", f"{OFFICE};ext=123"),
    Row("8 (727) 250-00-01 доб 12", "KZ", f"{OFFICE};ext=12"),
    Row("+7 727 250 00 01 ext. 123", "KZ", f"{OFFICE};ext=123"),
    Row("+77272500001;ext=123", "KZ", f"{OFFICE};ext=123"),
    Row("+7 727 250 00 01 x123", "KZ", f"{OFFICE};ext=123"),
    Row("+7 727 250 00 01 #123", "KZ", f"{OFFICE};ext=123"),
    Row("＋７７２７２５００００１ ext. １２３", "KZ", f"{OFFICE};ext=123"),
    Row("8 727 250 00 01 / x12", "KZ", f"{OFFICE};ext=12"),
    Row("+7 809 123 45 67 ext. 1", "KZ", None, TYPE),
    # texts that are no numbers
    Row("nobody", "KZ", None, UNREADABLE),
    Row("+", "KZ", None, UNREADABLE),
    Row("+999 123 456 789", "KZ", None, UNREADABLE),
    Row("1", "KZ", None, UNREADABLE),
    Row("12 34", "KZ", None, UNREADABLE),
    # more than a number: nothing is dropped
    *(
        Row(text, "KZ", None, UNREADABLE)
        for text in (
            "Иван +7 701 123 45 67", "тел. 8 701 123 45 67", "8 701 123 45 67 Иван", "+7 701 123 45 67 ab", "8 701 ABCDEFG", "8 701 a 123 45 67",
            "8 701 123x45 67", "*31#87011234567", "8*701*1234567", r"8 701 123 45 67 \ x12", "8 701 123 45 67/x 8 702 123 45 67",
            "8 701 123 45 67, 8 702 123 45 67", "8 701 123 45 67 8 702 123 45 67", "8 701 123 45 67 ext. 12 ext. 13", "8 701 123 45 67 ext. 12/x13",
            "+7 701 123 45 67 x1234567890", "8 701 123 45 67 ext. 123456789012345678901", "8 701 123 45 6²", "8 701 123 45 67;isub=12",
            "tel:7011234567;phone-context=+7;ext=12", "tel:7011234567;phone-context=example.com", "tel:+77011234567;phone-context=+7",
            "Иван tel:+77011234567", "+7 000 00 00", "+0",
        )
    ),
    Row("+7 (000)", "AU", None, UNREADABLE),
    Row("+61 00000", "AU", None, UNREADABLE),
    Row("*6050", "IL", None, UNREADABLE),
    Row("1-800-FLOWERS", "US", None, UNREADABLE),
    Row("+49 30x1234567890", "DE", None, UNREADABLE),
    # more than digits: separators, invisible characters, tel: URIs
    Row("\u202a+7\u00a0701\u2011123\u201145\u201167\u202c", "KZ", KZ),
    Row("Tel: (701) 123\u201345\u201367.", "KZ", KZ),
    Row("tel:701-123-4567;phone-context=+7", "KZ", KZ),
    Row("tel:727-250-0001;ext=12;phone-context=+7", "KZ", f"{OFFICE};ext=12"),
    Row("tel:+7-727-250-0001;ext=12", "KZ", f"{OFFICE};ext=12"),
    Row("+44 (0)20 7946 0958", "GB", "+442079460958"),
    Row("030/901820", "DE", "+4930901820"),
    # extensions and short numbers
    Row("1001", "KZ", "1001"),
    Row("１００１", "KZ", "1001"),
    Row("20", "KZ", "20"),
    Row("12345678", "KZ", "12345678"),
    Row("104", "KZ", None, SHORT),
    Row("411", "US", None, SHORT),
    # emergency numbers of twenty countries, and those of all
    *(
        Row(number, region, None, EMERGENCY)
        for region, number in (
            ("KZ", "101"), ("KZ", "１１２"), ("RU", "102"), ("UZ", "03"), ("KG", "102"), ("US", "911"), ("CA", "911"), ("GB", "999"),
            ("DE", "110"), ("FR", "15"), ("IT", "113"), ("ES", "085"), ("PL", "997"), ("TR", "155"), ("IN", "100"), ("CN", "119"),
            ("JP", "119"), ("AU", "000"), ("NZ", "111"), ("BR", "190"), ("ZA", "10111"), ("KZ", "911"), ("KZ", "999"), ("KZ", "000"),
            ("KZ", "1030"),
        )
    ),
    # emergency and short numbers behind zeros and country codes
    *(Row(text, "DE", None, EMERGENCY) for text in ("+490112", "+49(0)112", "+49 0 110", "+49 1121234", "0112", "00112")),
    *(Row(text, "DE", None, SHORT) for text in ("+49 118 33", "+49 116 117")),
    *(Row(text, "DE", None, UNREADABLE) for text in ("+49 000112", "+490118 33")),  # the zeros would be left out
    Row("+39 000113", "IT", None, EMERGENCY),
    Row("+39 011 830", "IT", "+39011830"),
    Row("+358 00112", "FI", None, EMERGENCY),
    Row("+43 (0)133", "AT", None, EMERGENCY),
    Row("+972 000101", "IL", None, UNREADABLE),
    Row("+44 0118 625", "GB", None, SHORT),
    Row("0103", "KZ", None, EMERGENCY),
    # types
    Row("8 800 100 00 00", "RU", "+78001000000"),
    Row("8 809 123 45 67", "RU", None, TYPE),
    Row("+1 900 234 5678", "US", None, TYPE),
    Row("0845 000 0000", "GB", None, TYPE),
    # other regions and no region
    Row("+7 916 123 45 67", "KZ", "+79161234567"),
    Row("+998 90 123 45 67", "KZ", None, REGION),
    Row("+1 212 555 1234", "KZ", None, REGION),
    Row("8 10 44 20 7946 0958", "KZ", None, REGION),
    Row("+870 773 111 632", "KZ", None, REGION),
    Row("+881 6 1234 5678", "KZ", None, REGION),
    Row("+800 1234 5678", "KZ", None, REGION),
    Row("+979 1 2345 6789", "KZ", None, REGION),
]  # fmt: skip
