"""What a guest sees: one virtual GPU's control block, registers, GGTT, interrupts. Start at
`vgpu.py`.
"""
