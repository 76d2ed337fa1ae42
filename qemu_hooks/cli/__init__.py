"""Verbs of vgpuctl for libvirt: named by its table, imported when they are used."""
