"""A small CRM that has its customers called back by perezvon.

`server` receives customers and webhooks, `webhooks` verifies webhooks, `customers` is the table, `outbox` sends pending
requests, and `perezvon` is the client of the HTTP API.
"""
