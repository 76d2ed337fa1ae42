"""Module dependencies from `.modinfo`, and the order to load them in."""

import lzma
from pathlib import Path

import pytest

from tests.guests.modules import depends, find_modules, load_order, module_name, read_module
from tests.guests.setup_error import SetupError

NEEDS = {"i915": ["drm", "video"], "video": ["wmi"], "drm": [], "wmi": []}


def test_each_module_follows_what_it_needs() -> None:
    assert load_order(["i915", "wmi"], NEEDS.__getitem__) == ["drm", "wmi", "video", "i915"]


def test_a_circle_is_a_message() -> None:
    needs = {"a": ["b"], "b": ["a"]}
    with pytest.raises(SetupError, match="a -> b -> a"):
        load_order(["a"], needs.__getitem__)


def test_depends_is_read_from_modinfo() -> None:
    image = b"\x7fELF..\0license=GPL\0depends=drm,i2c-algo-bit\0retpoline=Y\0"
    assert depends(image) == ["drm", "i2c_algo_bit"]
    assert depends(b"\0depends=\0") == []
    assert depends(b"no modinfo") == []


def test_modules_are_found_compressed_or_not(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    plain = tmp_path / "kernel" / "i2c-algo-bit.ko"
    plain.write_bytes(b"plain")
    packed = tmp_path / "kernel" / "drm.ko.xz"
    packed.write_bytes(lzma.compress(b"packed"))
    (tmp_path / "modules.order").write_text("")
    assert find_modules(tmp_path) == {"i2c_algo_bit": plain, "drm": packed}
    assert read_module(plain) == b"plain"
    assert read_module(packed) == b"packed"
    assert module_name(packed) == "drm"
