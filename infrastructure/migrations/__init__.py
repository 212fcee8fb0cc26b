"""Migrations of the schema: numbered SQL files, templates in which the name of the schema is filled in.

``NNNN_pre_name.sql`` runs before a new release is rolled out, ``NNNN_post_name.sql`` after.
``infrastructure.postgres.migrations`` applies them.
"""
