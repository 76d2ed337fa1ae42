"""What the attacker can do, one file for each thing it does it to. Each takes (guest, chance)."""
