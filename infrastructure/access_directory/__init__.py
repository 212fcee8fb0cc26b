"""The access directory: organisations, members, operators and tokens, as the API looks them up.

Organisations are recorded by ``organizations``: one transaction appends the facts to the log and lets ``projection``
write the directory's tables. ``query`` reads the tables at each request. So a revoked token is refused at once, whether
or not a worker runs (docs/adr/0002-access-is-written-inline.md).

    organizations   append an organisation's facts and update the directory in one transaction
    projection      the directory's tables, written from an organisation's facts
    query           look up tokens, operators, members and organisations
    rebuild         empty and refill the tables from the log, under the log's lock
"""
