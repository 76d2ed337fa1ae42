"""The attacker of the isolation tests, what it attacks, and how it is found out.

Guest A fills its RAM with a secret and stands still. Guest B attacks through every address a driver
can give to the GPU.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

from mediator.physical.partition import (
    GUEST_GGTT_SIZE,
    MEDIATOR_GGTT,
    MIB,
    SLAB_SIZE,
    slab_ggtt,
)
from tests.gpu_driver import (
    ENGINE_BASES,
    MI_BATCH_BUFFER_END,
    PAGE,
    Context,
    GpuDriver,
)
from tests.gpu_driver.commands import (
    batch_start,
    load_register,
    store_dword,
)
from tests.integration.vgpu_rig import RAM_SIZE, Guest, Rig

SECRET = 0xA55E_C2E7
PLANTED = 8 * MIB
"""From here on A's RAM is all secret; below, its driver works."""
MARK = 0xBAD0_BAD0
LOOT = 0x0700_7007
"""What B could steal from itself, in a test of the tests."""
LOW = 4 * MIB
"""B's driver works below; an attack needs less."""
BATCH, TARGET, OWN = 0x10_0000, 0x4000_0000, 0x5000_0000
APERTURE_REGION = 2
GPR = 0x600
END_OF_ATTACK_S = 0.25
"""An attack that neither ends nor is reported as an error is given up after this."""

Attack = Callable[["Attacker", int], None]


class Attacker:
    """Guest B: a page of its own to steal into, and a driver that is reset after each attack."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.stolen: set[int] = set()
        """What of the secret and the mark was in its RAM, beyond what its commands say."""
        self.start()

    def start(self) -> None:
        """A new driver on RAM that is clean, once it has been searched."""
        content = self.guest.content()
        self.stolen |= {word for word in (SECRET, LOOT) if struct.pack("<I", word) in content[:LOW]}
        self.guest.ram.write(0, bytes(LOW))
        self.driver = self.guest.new_driver(msi=False)
        self.driver.initialise()
        self.own = self.driver.ram.allocate()
        self.own_ggtt = self.driver.ggtt_map(self.own)

    def context(self, engine: str = "rcs0") -> Context:
        context = self.driver.create_context(engine)
        context.tables.map(OWN, self.own)
        return context

    def run(self, context: Context, commands: list[int]) -> None:
        request = self.driver.add_request(context, commands)
        self.submit(context, lambda: self.driver.done(request))

    def submit(self, context: Context, done: Callable[[], bool] = lambda: False) -> None:
        """Submit and wait until it is done, reported as an error, or given up; then reset."""
        driver, ends = self.driver, time.monotonic() + END_OF_ATTACK_S
        driver.submit(context)
        while not (done() or driver.error(context.engine)) and time.monotonic() < ends:
            time.sleep(0.0005)
        driver.reset(*ENGINE_BASES)
        self.start()

    def run_batch(self, commands: list[int], engine: str = "rcs0") -> None:
        """As user batch in a context whose tables map OWN, and TARGET as the test has set."""
        context = self.context(engine)
        self.run_batch_in(context, commands)

    def run_batch_in(self, context: Context, commands: list[int]) -> None:
        context.tables.place(BATCH, [*commands, MI_BATCH_BUFFER_END])
        self.run(context, batch_start(BATCH))


def plant(guest: Guest) -> None:
    """Secrets in A's RAM, in its rings, batches, registers and images, and in the aperture."""
    driver = guest.driver
    driver.ram.write(PLANTED, struct.pack("<I", SECRET) * ((RAM_SIZE - PLANTED) // 4))
    for engine, base in ENGINE_BASES.items():
        context = driver.create_context(engine)
        context.tables.map(TARGET, PLANTED, 16)
        registers = [(base + GPR + 4 * n, SECRET) for n in range(32)]
        page, at = PLANTED, driver.ggtt_map(PLANTED)
        batch = driver.ram.allocate()
        driver.ram.write_u32(batch, *store_dword(at, SECRET, ggtt=True), MI_BATCH_BUFFER_END)
        privileged = batch_start(driver.ggtt_map(batch), ggtt=True)
        driver.wait(driver.run(context, [*load_register(*registers), *privileged]))
        assert driver.ram.read_u32(page) == SECRET
    driver.wait_idle()


def check(shared: Rig, victim: Guest, before: bytes, attacker: Attacker) -> None:
    """A's memory is untouched, B has nothing of it, and A works."""
    after = victim.content()
    if after != before:
        pages = [n for n in range(0, RAM_SIZE, PAGE) if after[n : n + PAGE] != before[n : n + PAGE]]
        raise AssertionError(f"pages of A have changed: {[hex(page) for page in pages[:8]]}")
    assert SECRET not in attacker.stolen
    assert attacker.guest.content().find(struct.pack("<I", SECRET)) == -1
    driver = victim.driver
    for engine in ENGINE_BASES:
        driver.wait(driver.run(driver.create_context(engine)))
    driver.wait_idle()
    assert shared.vgpu(0).counters.rejections == {}
    assert shared.vgpu(0).counters.hangs == 0


def ggtt_targets(victim: GpuDriver) -> list[int]:
    """GGTT addresses that are not B's: A's, the mediator's, and the end."""
    return [
        victim.ggtt.low.start,
        victim.ggtt.high.start,
        MEDIATOR_GGTT,
        slab_ggtt(1),
        slab_ggtt(2),
        GUEST_GGTT_SIZE - PAGE,
        0xFFFF_F000,
    ]


def physical_targets(shared: Rig) -> list[int]:
    """Addresses in page tables that are not in B's RAM: A's window, slabs, and nothing."""
    window = shared.vgpu(0).addressing.iova(0)
    assert window is not None
    return [
        window + PLANTED,
        window,
        RAM_SIZE,
        MIB,  # B's own, unless windows are forgotten about
        SLAB_SIZE,
        2 * SLAB_SIZE,
        (1 << 39) - PAGE,
        1 << 39,
        1 << 45,
    ]
