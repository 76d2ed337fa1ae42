"""The command table: lengths, engines, no header twice."""

from __future__ import annotations

import re

import pytest

from mediator.gen9.commands import decode
from mediator.softgpu.command_set import HANDLERS
from tests.unit.mediator.command_headers import HEADERS

_UNNAMED = re.compile(r"(RENDER|VCS|VECS)_[0-9A-F]{4}")
"""What a header without a name is called."""


@pytest.mark.parametrize(
    ("engine", "dw0", "name", "length"),
    [
        ("RCS", 0x0000_0000, "MI_NOOP", 1),
        ("RCS", 0x1100_101B, "MI_LOAD_REGISTER_IMM", 29),
        ("BCS", 0x1320_4182, "MI_FLUSH_DW", 4),
        ("BCS", 0x1180_0301, "MI_UPDATE_GTT", 0x303),
        ("RCS", 0x1000_0002, "MI_STORE_DATA_IMM", 4),
        ("RCS", 0x7A00_0004, "PIPE_CONTROL", 6),
        ("RCS", 0x6101_0011, "STATE_BASE_ADDRESS", 19),
        ("RCS", 0x780B_0001, "3DSTATE_VF_STATISTICS", 1),
        ("RCS", 0x7FFF_0001, "RENDER_7FFF", 3),
        ("BCS", 2 << 29 | 0x01 << 22 | 8, "XY_SETUP_BLT", 10),
        ("BCS", 2 << 29 | 0x42 << 22 | 8, "XY_FAST_COPY_BLT", 10),
        ("BCS", 2 << 29 | 0x50 << 22 | 3 << 20 | 5, "XY_COLOR_BLT", 7),
        ("VCS", 0x73A1_0001, "HCP_PAK_OBJECT", 3),
        ("VCS", 0x7580_0001, "VCS_7580", 3),
        ("VECS", 0x7403_0003, "VEB_DI_IECP", 5),
    ],
)
def test_decode(engine: str, dw0: int, name: str, length: int) -> None:
    found = decode(dw0, engine)
    assert found is not None
    row, dwords = found
    assert (row.name, dwords) == (name, length)


@pytest.mark.parametrize(
    ("engine", "dw0"),
    [
        ("RCS", 0x10 << 23),
        ("RCS", 0x18 << 23),
        ("RCS", 0x3F << 23),
        ("RCS", 2 << 29 | 0x50 << 22),
        ("BCS", 2 << 29 | 0x7F << 22),
        ("BCS", 0x7A00_0004),
        ("VCS", 0x7A00_0004),
        ("VECS", 0x780A_0000),
        ("VECS", 0x0C << 23),
        ("RCS", 1 << 29),
        ("RCS", 0xFFFF_FFFF),
    ],
)
def test_illegal_headers(engine: str, dw0: int) -> None:
    assert decode(dw0, engine) is None


@pytest.mark.parametrize("engine", ["RCS", "BCS", "VCS", "VECS"])
def test_the_upper_half_of_a_header_decides(engine: str) -> None:
    """The streamer remembers what a header means by its bits 31:16."""
    for upper in range(1 << 16):
        low, high = decode(upper << 16, engine), decode(upper << 16 | 0xFFFF, engine)
        assert (low and low[0]) == (high and high[0])
        if low is not None:
            assert low[1] >= 1


@pytest.mark.parametrize("engine", HEADERS)
def test_names_stand_at_their_headers(engine: str) -> None:
    """A name at another header would let the audit's rule for it judge another command."""
    expected = {}
    for entry in HEADERS[engine].split():
        key, _, name = entry.partition(":")
        expected[name] = int(key, 16)
    found: dict[str, int] = {}
    for upper in range(1 << 16):
        row = decode(upper << 16, engine)
        if row is not None and not _UNNAMED.fullmatch(row[0].name):
            found.setdefault(row[0].name, upper)
    assert found == expected


def test_fewest_dwords_of_what_is_rendered() -> None:
    """PIPE_CONTROL has flags in its second dword; of others the header's rule is all."""
    for upper in range(0x6000, 0x8000):
        found = decode(upper << 16, "RCS")
        if found is not None:
            assert found[0].minimum == (2 if found[0].name == "PIPE_CONTROL" else 1), found[0].name


def test_every_handler_has_a_command() -> None:
    headers = [upper << 16 for upper in range(1 << 16)]
    names = {found[0].name for e in ("RCS", "BCS") for h in headers if (found := decode(h, e))}
    assert set(HANDLERS) <= names
