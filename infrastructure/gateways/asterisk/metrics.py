"""Prometheus metrics of the Asterisk adapter."""

from prometheus_client import Counter

MESSAGES = Counter("perezvon_asterisk_messages", "Messages that Asterisk sent, including ignored ones")
ACTIONS = Counter("perezvon_asterisk_actions", "Actions sent to Asterisk, by its response", ["action", "answer"])
UNREADABLE_ROWS = Counter("perezvon_asterisk_unreadable_rows", "Ledger rows that cannot be read; their calls are lost")
MISSING_ROWS = Counter(
    "perezvon_asterisk_missing_rows", "Calls that hung up and left no ledger row: check the dialplan"
)
UNLISTED_CODES = Counter(
    "perezvon_asterisk_unlisted_codes", "SIP codes of failed calls that map to no outcome", ["code"]
)
UNDIALABLE = Counter(
    "perezvon_asterisk_undialable", "Calls refused before dialling, because their numbers are not valid"
)
