"""Adapters to the outside world: the only package that imports psycopg and the ``eventsourcing`` library.

Requests append facts to the event log; subscriptions follow the log and keep read models and policies up to date; the
dispatcher dials what is due over a gateway; webhooks deliver what callbacks announce.

    postgres          connections, migrations, SQL texts, notifications, batching
    migrations        the numbered SQL files
    event_log         append to the log, read it, encode facts
    access_directory  who may sign in: written with the log, read at each request
    subscriptions     checkpoints, runners, parking: how a projection or policy follows the log
    read_models       one package for each view: its projection and its query
    policies          policies with their SQL
    dispatch          dial due callbacks within the limits of their queues
    gateways          Asterisk and the simulated switch
    webhooks          sign and deliver messages to receivers
    operations        rebuild, retry of parked streams, lag of views, doctor
    local_postgres    a Postgres server of our own on one machine
"""
