"""Commands that a guest plants in its context images: nothing of them reaches the hardware.

The software GPU restores a whole image as the stream of privileged commands that it is, as it
stands in memory. So natively each of these would load the register.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mediator.gen9.context_image import ImageIndex
from tests.gpu_driver import ENGINE_BASES, PAGE, Context, GpuDriver
from tests.gpu_driver.commands import load_register, store_register
from tests.gpu_driver.context import context_pages
from tests.integration.mode_cases import cases
from tests.integration.vgpu_rig import DIRECT, SHADOW, Rig, rig

BOTH = SHADOW, DIRECT
MARK = 0xBAD0_B000
LOAD = 0x1100_0001
NOOP = 0
TARGETS = {"HWS_PGA": 0x80, "another engine's": 0x12080 - 0x2000, "NONPRIV0": 0x4D0}
"""Registers, from the render engine's base, that only the mediator may set."""
GPR = 0x600
PLACES = {
    "header": 0x21 * 4,
    "offset": 0x42 * 4,
    "tail": PAGE - 16,
    "page 2": PAGE,
    "page 9": 8 * PAGE + 0x800,
    "last page": 20 * PAGE + 0xFF0,
}
"""Bytes from the register state page."""


@dataclass
class Victim:
    """A guest with a context of the render engine, and the hardware."""

    made: Rig
    driver: GpuDriver
    context: Context

    def hardware(self, offset: int) -> int:
        assert self.made.mediation is not None
        return self.made.mediation.dispatcher.host.gpu.read32(offset)

    @property
    def refused(self) -> int:
        return self.made.vgpu(0).counters.rejections.get("context", 0)

    def run(self, commands: list[int]) -> None:
        self.driver.wait(self.driver.run(self.context, commands))
        self.driver.wait_idle()


@pytest.fixture(params=cases(BOTH, BOTH, strict=BOTH), ids=str)
def victim(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Victim]:
    with rig(tmp_path, request.param) as made, made.guest() as guest:
        yield Victim(made, guest.driver, guest.driver.create_context("rcs0"))


def plant(victim: Victim, place: str, register: int) -> None:
    """A load of ``register`` at the place, and another value to make the image a new one."""
    ram, image = victim.driver.ram, victim.context.image
    at = image + PLACES[place]
    if place == "offset":
        ram.write_u32(at, register, MARK)
    else:
        ram.write_u32(at, LOAD, register, MARK, NOOP)
    ram.write_u32(victim.context.value(ImageIndex.CTX_TIMESTAMP), 1)


@pytest.mark.parametrize("ran", [False, True], ids=["never ran", "ran"])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_planted_does_not_reach_the_hardware(victim: Victim, place: str, ran: bool) -> None:
    if ran:
        victim.run([])
    registers = [ENGINE_BASES["rcs0"] + offset for offset in TARGETS.values()]
    before = [victim.hardware(register) for register in registers]
    for register in registers:
        plant(victim, place, register)
        victim.run([])
    assert [victim.hardware(register) for register in registers] == before
    assert MARK not in before
    private = place in {"tail", "page 2", "page 9", "last page"}
    assert victim.refused == (len(registers) - (not ran) if private else 0)


def test_a_copied_image_runs_with_all_that_it_holds(victim: Victim) -> None:
    """As i915 begins contexts: all pages but the status page, ring and tables of its own."""
    victim.run(load_register((0x2600, 0x4321)))
    ram, driver = victim.driver.ram, victim.driver
    other = driver.create_context("rcs0")
    kept = ram.read(other.image, PAGE)
    copy = bytearray(ram.read(victim.context.image, (context_pages("rcs0") - 1) * PAGE))
    for index in (
        ImageIndex.RING_HEAD,
        ImageIndex.RING_TAIL,
        ImageIndex.RING_START,
        ImageIndex.PDP0_LDW,
    ):
        copy[4 * index : 4 * index + 4] = kept[4 * index : 4 * index + 4]
    ram.write(other.image, bytes(copy))
    answer = ram.allocate()
    at = driver.ggtt_map(answer)
    driver.wait(driver.run(other, store_register(0x2600, at, ggtt=True)))
    assert ram.read_u32(answer) == 0x4321
    assert victim.refused == 0
