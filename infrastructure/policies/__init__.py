"""The policies with their SQL."""
