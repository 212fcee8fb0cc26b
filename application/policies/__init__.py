"""The process manager, pure: decisions of the policies, without SQL."""
