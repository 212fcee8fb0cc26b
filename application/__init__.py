"""What can be asked: use cases over the domain and its ports. Knows neither Postgres nor HTTP."""
