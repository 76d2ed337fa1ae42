"""The host: its GPUs, its vGPUs, and what an operator can do to them. Start at `host.py`.

Facts are in `definition.py`, `gpu_types.py` and `claim.py`; decisions without effect in
`admission.py` and `gpu_choice.py`; what is on disk in `definition_store.py`.
"""
