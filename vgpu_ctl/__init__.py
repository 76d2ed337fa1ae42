"""What operators run: the daemon vgpud and its command line.

May import mediator, mmio_trap and scheduler. Start reading at `vgpu_ctl/vgpud.py`.
"""
