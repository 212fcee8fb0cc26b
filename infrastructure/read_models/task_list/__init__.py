"""The read model task_list."""
