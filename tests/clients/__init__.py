"""Clients that are generated from the OpenAPI document: the generators, and five calls with each of their clients."""
