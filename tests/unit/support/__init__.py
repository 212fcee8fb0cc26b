"""Unit tests of helpers of the tests."""
