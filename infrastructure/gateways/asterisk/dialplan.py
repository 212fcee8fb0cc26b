"""Lines that the dialplan of a switch must contain (docs/asterisk/extensions.conf)."""

import re
from collections.abc import Iterable, Mapping

CONTEXTS: Mapping[
    str, Mapping[str, str]
] = {  # by context: the description of a piece, and the pattern of a line that has it
    "perezvon": {
        "an extension for numbers with a plus: `_[+0-9]!`": r"_\S*\+.* => ",
        "`Set(B_STARTED=1)`": r"Set\(B_STARTED=1\)",
        "`Set(TIMEOUT(absolute)=…)`": r"Set\(TIMEOUT\(absolute\)=.*MAX_SECONDS",
        "`Set(CALLERID(num)=${B_CALLER})`": r"Set\(CALLERID\(num\)=\$\{B_CALLER\}\)",
        "`Dial(…${FILTER(+0-9,${EXTEN})}…)`": r"Dial\(.*\$\{FILTER\(\+0-9,\$\{EXTEN\}\)\}",
        "`${PEREZVON_TRUNK}` in its Dial": r"Dial\(.*\$\{PEREZVON_TRUNK\}",
        "`${B_TIMEOUT}` in its Dial": r"Dial\(.*\$\{B_TIMEOUT\}",
        "`S(${MAX_SECONDS})` in its Dial": r"Dial\(.*S\(\$\{MAX_SECONDS\}\)",
        "`SendDTMF(${A_DIGITS})`": r"SendDTMF\(\$\{A_DIGITS\}\)",
        "`D(${B_DIGITS})` in its Dial": r"Dial\(.*D\(\$\{B_DIGITS\}\)",
        "`Set(CDR_PROP(disable)=1)`": r"Set\(CDR_PROP\(disable\)=1\)",
        "`Hangup()`": r"Hangup\(",
    },
    "perezvon-ledger": {
        "an extension `s`": r"s => ",
        "`HANGUPCAUSE_KEYS()`": r"Set\(.*\$\{HANGUPCAUSE_KEYS\(\)\}",
        "`HANGUPCAUSE(…,tech)`": r"Set\(.*\$\{HANGUPCAUSE\(.*,tech\)\}",
        "`Set(DB(perezvon/${PEREZVON_CALL_ID})=…)`": r"Set\(DB\(perezvon/\$\{PEREZVON_CALL_ID\}\)=",
        "a row of seven fields with `|` between them": r"Set\(DB\(perezvon/.*\)=(.*\|){6}\$\{EPOCH\}\)",
        "`Return()`": r"Return\(",
    },
}


def missing_pieces(context: str, lines: Iterable[str]) -> list[str]:
    """Return the pieces that a context of the dialplan lacks. A line is ``extension => Application(data)``."""
    text = "\n".join(lines)
    return [piece for piece, pattern in CONTEXTS[context].items() if not re.search(pattern, text)]
