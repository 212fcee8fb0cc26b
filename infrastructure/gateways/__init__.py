"""Switches: each adapter of the port application/gateway.py."""
