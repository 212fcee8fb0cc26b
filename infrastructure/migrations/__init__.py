"""The migrations: numbered SQL files, templates with the name of the schema."""
