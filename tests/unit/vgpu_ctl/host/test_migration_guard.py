"""The file that keeps QEMU from being saved; a real QEMU looks at it in the system tests."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from vgpu_ctl.host.migration_guard import NAME, guard_path, image, put_guard


def test_the_checksum_is_right() -> None:
    footer = image()[-512:]
    assert footer.startswith(b"conectix")
    without = footer[:64] + bytes(4) + footer[68:]
    assert int.from_bytes(footer[64:68], "big") == ~sum(without) & 0xFFFFFFFF


def test_it_is_put_beside_the_socket(tmp_path: Path) -> None:
    put_guard(tmp_path)
    path = guard_path(tmp_path / "web.sock")
    assert path.read_bytes() == image()
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    before = path.stat().st_ino
    put_guard(tmp_path)
    assert path.stat().st_ino == before
    path.unlink()
    path.write_bytes(b"")
    put_guard(tmp_path)
    assert path.read_bytes() == image()
    assert [each.name for each in tmp_path.iterdir()] == [NAME]


def test_no_place_for_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        put_guard(tmp_path / "file")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
