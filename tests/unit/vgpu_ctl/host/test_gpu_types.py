"""Types of vGPU: built in, and as they are configured."""

from __future__ import annotations

import pytest

from mediator.physical.partition import GIB
from mediator.vgpu.vgpu_type import LEAST_WINDOW, PASSTHROUGH, PRIVATE, TYPES, Kind
from vgpu_ctl.config import TypeConfig
from vgpu_ctl.host.gpu_types import offered_types


def test_those_that_are_there_without_a_configuration() -> None:
    assert offered_types({}) == dict(TYPES)
    assert [*offered_types({})][:4] == ["V9_1", "V9_2", "V9_4", "V9_8"]


def test_configured_ones_come_on_top_or_in_place() -> None:
    small = TypeConfig(kind="ballooned", low_mib=64, high_mib=192, fences=8, weight=2)
    made = offered_types({"small": small, "V9_1": TypeConfig(kind="private", weight=9)})
    assert made.keys() == {*TYPES, "small"}
    assert (made["small"].low, made["small"].high, made["small"].fences) == (64, 192, 8)
    assert (made["V9_1"].kind, made["V9_1"].weight) == (Kind.PRIVATE, 9)


@pytest.mark.parametrize(("low", "gib"), [(16, 16), (32, 32), (48, 32), (128, 128), (256, 256)])
def test_a_ballooned_window_is_its_part_of_the_aperture(low: int, gib: int) -> None:
    config = TypeConfig(kind="ballooned", low_mib=low, high_mib=64)
    assert offered_types({"t": config})["t"].window == gib * GIB


def test_private_and_passthrough_have_all_of_the_ggtt() -> None:
    made = offered_types(
        {
            "p": TypeConfig(kind="private"),
            "w": TypeConfig(kind="private", window_gib=64),
            "o": TypeConfig(kind="passthrough"),
        }
    )
    assert (made["p"].low, made["p"].high) == (PRIVATE.low, PRIVATE.high)
    assert (made["p"].window, made["w"].window) == (LEAST_WINDOW, 64 * GIB)
    assert (made["o"].low, made["o"].high) == (PASSTHROUGH.low, PASSTHROUGH.high)
