"""A hostile guest beside an honest one, on a `vgpud` of its own, through sockets alone.

``python -m tests.fuzz.hostile_guest --seconds N`` starts the daemon, an honest neighbour that looks
at every result, and an attacker: a random machine over rings, contexts, page tables, GGTT,
registers, resets, maps, interrupts and the connection, which is built from valid work and breaks
one rule at a time. It reports what the neighbour felt and what the daemon kept. Start at
`trial.py` (the order of things), `action_table.py` (what the attacker does) and `verdict.py` (what
counts as a failure).
"""
