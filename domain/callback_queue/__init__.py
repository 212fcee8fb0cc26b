"""A callback queue: it holds callbacks and bounds how many run at once (contract 2)."""
