"""An organisation: the tenant, its members, operators, access tokens and settings."""
