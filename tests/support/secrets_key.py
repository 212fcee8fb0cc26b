"""The key of webhook secrets in tests, benchmarks and chaos runs."""

from base64 import b64encode

SECRETS_KEY = bytes(range(32))
ENVIRONMENT = {"PEREZVON_SECRETS_KEY": b64encode(SECRETS_KEY).decode()}
