"""Benchmarks: `./run bench NAME --json`. Each compares with a peer in the same run on the same server."""
