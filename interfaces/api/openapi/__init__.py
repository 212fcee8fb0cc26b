"""The OpenAPI document and the page that shows it.

``docs_page`` serves the page and the document → ``document`` describes every documented handler of the routers →
``schemas`` derives parameters and JSON Schemas from types → ``descriptions`` and ``examples`` hold what types do not say;
``headers`` describes the headers of responses, and ``webhooks`` the messages that receivers get.
``static`` holds the page's files, Swagger UI among them.
"""
