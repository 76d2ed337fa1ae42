"""Mutation testing: faults put into copies of the code, and whether the quick tests notice.

`python -m tests.mutation` is `make mutate`; docs/testing.md says what it does and what it found.
"""
