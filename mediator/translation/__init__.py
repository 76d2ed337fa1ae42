"""How a vGPU uses the GPU's DMA space: shadow page tables, or directly.

Start at `addressing.py`.
"""
