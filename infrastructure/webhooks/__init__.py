"""Webhooks: rows written with the decision, signed and delivered in lanes (webhooks.md)."""
