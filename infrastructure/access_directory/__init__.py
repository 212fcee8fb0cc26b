"""The access directory: who may sign in, written in the transaction that records it."""
