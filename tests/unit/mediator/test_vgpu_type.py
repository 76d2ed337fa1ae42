"""The types that are there without configuration."""

from __future__ import annotations

import pytest

from mediator.physical.partition import GIB, MAX_VGPUS
from mediator.vgpu.vgpu_type import LEAST_WINDOW, TYPES, Kind, VgpuType, type_for

BALLOONED = [kind for kind in TYPES.values() if kind.kind is Kind.BALLOONED]


def test_there_are_those_of_gvt_g_and_ours() -> None:
    assert list(TYPES) == ["V9_1", "V9_2", "V9_4", "V9_8", "V9_16", "private", "passthrough"]


@pytest.mark.parametrize("kind", BALLOONED, ids=lambda kind: kind.name)
def test_the_name_says_how_many_fit(kind: VgpuType) -> None:
    assert kind.name == f"V9_{kind.most}"
    assert kind.fences == 32
    assert kind.weight * kind.most == 16
    assert kind.low * kind.most == 256
    assert kind.window * kind.most == 256 * GIB


def test_those_without_a_partition() -> None:
    assert TYPES["private"].most == MAX_VGPUS
    assert TYPES["passthrough"].most == 1
    assert all(kind.window >= LEAST_WINDOW for kind in TYPES.values())


@pytest.mark.parametrize(
    ("count", "name"), [(1, "1"), (2, "2"), (3, "4"), (8, "8"), (9, "16"), (31, "16")]
)
def test_the_largest_type_that_fits(count: int, name: str) -> None:
    assert type_for(count).name == f"V9_{name}"
