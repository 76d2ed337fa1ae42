"""The physical GPU: what the mediator drives, and how it divides it. Start at `gpu.py`."""
