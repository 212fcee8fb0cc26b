"""A callback: ring A, then B, and join them; again after a pause until it succeeds or its tries are spent (contract 2)."""
