"""Read models as the use cases see them: rows, filters and the port of each, one file per read model."""
