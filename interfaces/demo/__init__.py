"""The demo: file a sample day of calls, call 300 people back, and report the results.

``story`` runs it from start to end: ``staff`` creates the organisation, ``day`` files the tasks, ``exchange`` runs the
queues with the people of ``simulated_cast`` or ``switch_cast`` (``plan``), ``receiver`` verifies the webhooks, ``progress``
shows the queues, ``figures`` and ``report`` summarise, and ``guide`` prints commands to try.
"""
