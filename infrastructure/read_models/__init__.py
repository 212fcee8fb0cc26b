"""Read models: one package per view, with its projection and its query."""
