"""Unit tests of qemu_hooks."""
