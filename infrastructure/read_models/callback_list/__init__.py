"""The read model callback_list."""
