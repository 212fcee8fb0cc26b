"""The HTTP API: tasks, callback queues, administration, audit, webhooks, health and documentation.

``server`` runs uvicorn with ``app``, which serves the routers of ``routes`` and the documentation of ``openapi``; ``web``
holds the HTTP mechanics of all of them. Imports point one way: server → app → openapi → routes → web.

- ``app``: composes the ASGI application.
- ``server``: the process ``serve``, with bounds on request heads and a graceful shutdown.
- ``routes``: handlers with their bodies and responses, a module for each resource; ``routes/registry.py`` lists the routers.
- ``web``: authorization, decoding, error responses, rate limits, preconditions, read-your-writes.
- ``openapi``: the OpenAPI document, made of the routers, and the page that shows it.
"""
