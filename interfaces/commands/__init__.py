"""The commands of ``perezvon``, a file for each group of them."""
