"""A quiet organisation beside a hostile one: `./run chaos --neighbour`.

- run: the whole run, in two halves: the quiet organisation alone, then beside the other
- service: API, worker, phone network and Postgres as processes
- quiet: organisation B, which files tasks, reads lists, and has people called back with webhooks
- hostile: organisation A, a process of its own that overloads everything that the two share
- sinks: receivers that accept requests and never respond
- names: a name server that never answers for some names
- without_shares: a build in which organisations have no shares; the run must find it out
"""
