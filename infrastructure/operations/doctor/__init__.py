"""Checks of ``perezvon doctor``."""
