"""The access directory: organisations, members, operators and tokens, as the API looks them up.

Organisations are recorded by ``organizations``: one function of the database appends the facts to the log and writes the
directory's tables, which the service may only read. ``query`` reads the tables at each request. So a revoked token is refused at once, whether
or not a worker runs (docs/adr/0002-access-is-written-inline.md).

    organizations   append an organisation's facts and update the directory in one transaction
    projection      the same tables, folded from the log by a rebuild
    comparison      compare the tables with the log, without a rebuild
    query           look up tokens, operators, members and organisations
"""
