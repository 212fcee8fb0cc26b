"""Follows docs/install.md in a bare Debian: `python -m tests.install`."""
