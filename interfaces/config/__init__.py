"""Configuration: the settings of a deployment, and what is derived from them without a database.

- ``settings``: every setting, read from the environment
- ``kept_key``: the key of webhook secrets that `up` keeps in its data folder
- ``webhooks``: webhook options from the settings
- ``limits``: limits of organisations from the settings
- ``retry_policies``: the format of a retry policy, for the API and the command line
- ``log_setup``: log levels and formats
- ``log_fields``: what every log line of a request says
"""
