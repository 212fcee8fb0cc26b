"""A small CRM that has its customers called back by perezvon.

`server` receives customers and webhooks, `webhooks` verifies them, `customers` keeps the table, `outbox` sends what is
still to be sent, and `perezvon` is the client of the HTTP API.
"""
