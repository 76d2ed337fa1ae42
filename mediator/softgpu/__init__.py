"""A software Gen9 GPU at register level: it behaves like the PCI function, no mediation.

Start reading at `gpu.py` (the parts), then `engine.py` (the way of one request).
"""
