"""Who asks: HTTP, the command line and the worker. Composes everything, decides nothing."""
