"""Files that libdrm and the drivers read about a device: a small /dev and /sys in a directory."""

import struct
from pathlib import Path

_DEVICE = "devices/pci0000:00/0000:00:02.0"
_NUMBER = "226:128"
_KEPT = ("null", "zero", "random", "urandom", "full")


def make_dev(place: Path) -> dict[str, Path]:
    """Make /dev under ``place``; what is to be bound into it, by path."""
    (place / "dri" / "by-path").mkdir(parents=True)
    (place / "shm").mkdir()
    (place / "dri" / "renderD128").touch()
    (place / "dri" / "by-path" / "pci-0000:00:02.0-render").symlink_to("../renderD128")
    for name in _KEPT:
        (place / name).touch()
    return {f"dev/{name}": Path("/dev", name) for name in _KEPT}


def make_sys(place: Path, chipset: int, revision: int) -> None:
    """Make /sys under ``place`` for one Intel GPU at 0000:00:02.0."""
    device = place / _DEVICE
    node = device / "drm" / "renderD128"
    node.mkdir(parents=True)
    driver = place / "bus/pci/drivers/i915"
    driver.mkdir(parents=True)
    (place / "dev/char").mkdir(parents=True)
    (place / "class/drm").mkdir(parents=True)
    (place / "bus/pci/devices").mkdir()
    (place / "dev/char" / _NUMBER).symlink_to(f"../../{_DEVICE}/drm/renderD128")
    (place / "class/drm/renderD128").symlink_to(f"../../{_DEVICE}/drm/renderD128")
    (place / "bus/pci/devices/0000:00:02.0").symlink_to(f"../../../{_DEVICE}")
    (node / "device").symlink_to("../..")
    (node / "dev").write_text(f"{_NUMBER}\n")
    (node / "uevent").write_text("MAJOR=226\nMINOR=128\nDEVNAME=dri/renderD128\n")
    (device / "subsystem").symlink_to("../../../bus/pci")
    (device / "driver").symlink_to("../../../bus/pci/drivers/i915")
    (device / "vendor").write_text("0x8086\n")
    (device / "device").write_text(f"{chipset:#06x}\n")
    (device / "subsystem_vendor").write_text("0x8086\n")
    (device / "subsystem_device").write_text("0x2212\n")
    (device / "revision").write_text(f"{revision:#04x}\n")
    (device / "class").write_text("0x030000\n")
    (device / "uevent").write_text(
        "DRIVER=i915\nPCI_CLASS=30000\n"
        f"PCI_ID=8086:{chipset:04X}\nPCI_SUBSYS_ID=8086:2212\nPCI_SLOT_NAME=0000:00:02.0\n"
    )
    head = struct.pack("<HHHHB3B", 0x8086, chipset, 7, 0x10, revision, 0, 0, 3)
    config = head.ljust(0x2C, b"\0") + struct.pack("<HH", 0x8086, 0x2212)
    (device / "config").write_bytes(config.ljust(256, b"\0"))
