"""How a guest access reaches a function: vfio-user, PCI, BARs, registers; knows nothing of Intel.

Imports the standard library only. Start reading at `mmio_trap/device.py`.
"""
