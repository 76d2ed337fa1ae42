"""Power wells: requested by one register, seen up in all four."""

from __future__ import annotations

from tests.unit.mediator.soft_gpu_fixture import make_bench

BIOS, DRIVER = 0x45400, 0x45404


def test_requested_well_comes_up_and_goes_down() -> None:
    driver = make_bench().driver
    assert driver.read32(DRIVER) == 0
    driver.write32(DRIVER, 2 << 28)
    assert driver.read32(DRIVER) == 3 << 28
    assert driver.read32(BIOS) == 1 << 28
    driver.write32(DRIVER, 0)
    assert driver.read32(DRIVER) == 0


def test_state_bits_cannot_be_written() -> None:
    driver = make_bench().driver
    driver.write32(DRIVER, 1 << 28)
    assert driver.read32(DRIVER) == 0


def test_well_stays_up_while_another_requester_wants_it() -> None:
    driver = make_bench().driver
    driver.write32(BIOS, 2)
    driver.write32(DRIVER, 2)
    driver.write32(DRIVER, 0)
    assert driver.read32(DRIVER) == 1


def test_fuses_report_every_power_gate() -> None:
    assert make_bench().driver.read32(0x42000) == 0x8E000000
