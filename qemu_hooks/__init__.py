"""Attaching vGPUs to libvirt domains; reaches the rest through vgpu_ctl.client only."""
