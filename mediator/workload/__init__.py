"""What a guest submits: its contexts, rings and batches, copied, audited and shadowed. Start at
`workload.py`.
"""
