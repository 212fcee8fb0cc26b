"""Organisations: tenants with their members, operators, access tokens and settings."""
