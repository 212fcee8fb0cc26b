"""The HTTP API: contract 1, administration, audit, health and documentation."""
