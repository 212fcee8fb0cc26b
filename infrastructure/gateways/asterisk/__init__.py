"""Asterisk, over its Manager Interface (AMI)."""
