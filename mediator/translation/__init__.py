"""How a vGPU uses the GPU's DMA space: by shadow page tables, or directly. Start at `addressing.py`.
"""
