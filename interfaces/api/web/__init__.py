"""HTTP mechanics shared by all routes."""
