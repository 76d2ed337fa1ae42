"""Guests for demo, IGT and system tests: QEMU, kernels, root file system, boot."""
