"""Ports: what the use cases require of the outside world, as protocols with their data."""
