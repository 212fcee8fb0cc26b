"""The read model call_history."""
