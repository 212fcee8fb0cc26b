"""HTTP mechanics that all routes share; nothing here knows a route.

The way of a request: ``asgi_middleware`` starts its ``RequestContext`` → the router (``routers``) calls ``authorize`` →
``rate_limit`` charges token, operator, organisation or address → the handler's ``checks`` (``path_params``, ``preconditions``) run →
the handler decodes with ``json_body``, ``query_params`` and ``path_params``, calls one use case, and returns a
``JsonResponse`` → any exception becomes an error response (``error_responses``).

- ``asgi_middleware``: request id, security headers, access log and metrics of every response.
- ``authentication``: checks the token, the permission and the rate limits before the body is read.
- ``body_budget``: the memory for bodies, a share for each organisation.
- ``connections``, ``http_protocol``: what the server bounds by itself, before the application sees a request.
- ``context``: state that the API shares, and the context of one request.
- ``error_responses``: the table of exceptions → status, code and text, in the error format of each part of the API.
- ``field_types``: annotated types of request fields, their patterns and limits.
- ``http_metrics``: Prometheus metrics of requests.
- ``json_body``: strict decoding of JSON bodies, with every field error.
- ``json_response``: responses that are encoded once.
- ``paging``: pages of lists, by page number or after an id, and their ``Link`` header.
- ``path_params``: client, queue and callback in the paths of ``docs/contracts/task_scheduler.md``.
- ``preconditions``: ``If-Match``, ``If-None-Match`` and ``Idempotency-Key``.
- ``query_params``: decoding of query strings and headers into structs.
- ``rate_limit``: token buckets.
- ``read_your_writes``: lists that wait for the changes made before them; ``written_positions`` records those changes.
- ``recent_state``: the state of the database for readiness, at most a second old.
- ``request_errors``: exceptions of this layer, and the field errors of a request.
- ``routers``: the routers of the three parts of the API, and the options that handlers declare.
- ``times``: times of requests, in UTC.
"""
