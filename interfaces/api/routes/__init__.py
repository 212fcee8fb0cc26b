"""Route handlers and their bodies, one file per resource."""
