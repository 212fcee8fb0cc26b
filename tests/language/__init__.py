"""The language check: docstrings, comments, messages and pages use standard technical English (CONTRIBUTING.md).

``texts`` extracts the prose of a file, ``docstrings`` checks the first word of each docstring against ``verbs.txt`` and
``starters.txt``, ``phrases`` checks prose against ``phrases.toml``, ``references`` checks the texts that prose cites,
``repository`` chooses the files. Run it with ``python -m tests.language [PATHS…]``.
"""
