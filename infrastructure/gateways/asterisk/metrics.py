"""What the adapter tells Prometheus about its switch."""

from prometheus_client import Counter

MESSAGES = Counter("perezvon_asterisk_messages", "Messages that Asterisk sent, those that nobody wants included")
ACTIONS = Counter("perezvon_asterisk_actions", "Actions asked of Asterisk, by its answer", ["action", "answer"])
UNREADABLE_ROWS = Counter("perezvon_asterisk_unreadable_rows", "Ledger rows that cannot be read; their calls are lost")
MISSING_ROWS = Counter("perezvon_asterisk_missing_rows", "Calls that hung up and left no ledger row: see the dialplan")
UNLISTED_CODES = Counter(
    "perezvon_asterisk_unlisted_codes", "SIP codes of failed calls that no outcome is known for", ["code"]
)
UNDIALABLE = Counter("perezvon_asterisk_undialable", "Calls refused here, for their numbers are none")
