"""Nothing of one guest's memory is readable or writable by another, by any kind of address.

Guest A fills its RAM with a secret and stands still. Guest B attacks through every address a driver
can give to the GPU: afterwards A's RAM is as it was, the secret is nowhere in B's, and A works.
What an attack may end in is B's own affair: a dropped write, a refused submission, a fault.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mediator.gen9.context_image import ImageIndex
from mediator.physical.partition import (
    MEDIATOR_GGTT,
    MIB,
)
from mediator.vgpu.mmio_table import REGISTER_MAP
from mediator.vgpu.pieces import PIECE
from tests.gpu_driver import (
    ENGINE_BASES,
    MI_BATCH_BUFFER_END,
    MI_USER_INTERRUPT,
    PAGE,
    PRESENT_RW,
    Context,
)
from tests.gpu_driver.commands import (
    atomic_add,
    batch_start,
    color_blit,
    copy_blit,
    copy_dword,
    load_register,
    load_register_memory,
    pipe_control,
    post_sync,
    semaphore_wait,
    store_dword,
    store_index,
    store_qword,
    store_register,
    update_ggtt,
)
from tests.gpu_driver.memory import IPS_64K, PAGE_SIZE
from tests.integration.mode_cases import cases, few
from tests.integration.vgpu_attacker import (
    APERTURE_REGION,
    BATCH,
    END_OF_ATTACK_S,
    GPR,
    LOOT,
    MARK,
    OWN,
    PLANTED,
    SECRET,
    TARGET,
    Attack,
    Attacker,
    check,
    ggtt_targets,
    physical_targets,
    plant,
)
from tests.integration.vgpu_rig import DIRECT, MEDIATED, RAM_SIZE, SHADOW, Guest, Mode, Rig, rig

ATTEMPTS = 8


@pytest.fixture(params=cases(MEDIATED, quick=[SHADOW]), ids=str)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    mode: Mode = request.param
    with rig(tmp_path, mode, 2) as made:
        yield made


@pytest.fixture
def victim(shared: Rig) -> Iterator[Guest]:
    with shared.guest(0) as made:
        plant(made)
        yield made


@pytest.fixture
def attacker(shared: Rig, victim: Guest) -> Iterator[Attacker]:
    with shared.guest(1) as made:
        yield Attacker(made)


# -- attacks by a GGTT address in a command, a context or a register ------------------------------


def stores(b: Attacker, at: int) -> None:
    for commands in (
        store_dword(at, MARK, ggtt=True),
        store_qword(at, MARK, ggtt=True),
        atomic_add(at, MARK, ggtt=True),
        copy_dword(at, b.own_ggtt, target_ggtt=True, source_ggtt=True),
        store_register(0x2000 + GPR, at, ggtt=True),
        pipe_control(1 << 20 | 1 << 14 | 1 << 24, at, MARK),
    ):
        b.run(b.context(), commands)
    b.run(b.context("bcs0"), post_sync("bcs0", at, MARK))


def reads(b: Attacker, at: int) -> None:
    copies = copy_dword(b.own_ggtt, at, target_ggtt=True, source_ggtt=True)
    register = 0x2000 + GPR
    loaded = load_register_memory(register, at, ggtt=True)
    b.run(b.context(), copies)
    b.run(b.context(), [*loaded, *store_register(register, b.own_ggtt + 4, ggtt=True)])
    b.run(b.context(), semaphore_wait(at, SECRET ^ 1, ggtt=True))


def batch_there(b: Attacker, at: int) -> None:
    b.run(b.context(), batch_start(at, ggtt=True))
    b.run(b.context(), [*batch_start(at + 0x40, ggtt=True)])


def from_a_privileged_batch(b: Attacker, at: int) -> None:
    page = b.driver.ram.allocate()
    address = b.driver.ggtt_map(page)
    b.driver.ram.write_u32(page, *store_dword(at, MARK, ggtt=True), MI_BATCH_BUFFER_END)
    b.run(b.context(), batch_start(address, ggtt=True))


def from_a_user_batch(b: Attacker, at: int) -> None:
    """The hardware drops what says GGTT there."""
    b.run_batch(store_dword(at, MARK, ggtt=True))
    b.run_batch(copy_dword(OWN, at, source_ggtt=True))
    b.run_batch(batch_start(at, ggtt=True))


def image_values(b: Attacker, at: int) -> None:
    """Ring, work-around batches and forged positions in batches."""
    for values in (
        {ImageIndex.RING_START: at},
        {ImageIndex.INDIRECT_CTX: at & ~0x3F | 1},
        {ImageIndex.BB_PER_CTX_PTR: at | 1},
        forged_batch(at, ImageIndex.BB_ADDR_UDW),
        forged_batch(at, ImageIndex.BB_ADDR_UDW) | forged_batch(at, ImageIndex.SBB_ADDR_UDW),
    ):
        context = b.context()
        b.driver.add_request(context)
        for index, value in values.items():
            b.driver.ram.write_u32(context.value(index), value)
        b.submit(context)


def forged_batch(at: int, first: int) -> dict[int, int]:
    """An image that says it was preempted in a privileged batch at ``at``."""
    return {ImageIndex.CONTEXT_CONTROL: 0x0009_0008, first: 0, first + 2: at | 1, first + 4: 0}


def context_there(b: Attacker, at: int) -> None:
    context = b.context()
    context.lrca = at & ~0xFFF
    b.submit(context)


def status_page_there(b: Attacker, at: int) -> None:
    b.driver.engine_write("rcs0", 0x80, at & ~0xFFF)
    b.run(b.context(), store_index(0x100, MARK))


def registers_by_command(b: Attacker, at: int) -> None:
    """Pointers that are the mediator's alone, written from the ring and from a user batch."""
    for offset in (0x2080, 0x2038, 0x2230, 0x2270, 0x2274, 0x24D0, 0x21C0, 0x21C4, 0x2140, 0x22080):
        b.run(b.context(), load_register((offset, at)))
        b.run_batch(load_register((offset, at)))
    b.run(b.context(), pipe_control(1 << 20 | 1 << 23, 0x2080, at))


def entries_by_command(b: Attacker, at: int) -> None:
    """MI_UPDATE_GTT: entries that are not B's, and B's entry to what is not."""
    b.run(b.context(), update_ggtt(at, 0x1000 | 1))
    b.run(
        b.context(), [*update_ggtt(b.own_ggtt, at | 1), *store_dword(b.own_ggtt, MARK, ggtt=True)]
    )


def entries_by_register(b: Attacker, at: int) -> None:
    """Entries outside B's part of the table: A's, the mediator's."""
    if at < 1 << 32:
        b.driver.ggtt_write(at, 0x1000 | 1)


BY_GGTT: list[Attack] = [
    stores,
    reads,
    batch_there,
    from_a_privileged_batch,
    from_a_user_batch,
    image_values,
    context_there,
    status_page_there,
    entries_by_command,
    entries_by_register,
    registers_by_command,
]


@pytest.mark.parametrize(
    "attack", few(BY_GGTT, len(BY_GGTT) - 1), ids=lambda function: function.__name__
)
def test_ggtt_addresses(shared: Rig, victim: Guest, attacker: Attacker, attack: Attack) -> None:
    before = victim.content()
    targets = ggtt_targets(victim.driver)
    if shared.mode.ggtt == "private":  # A's addresses are B's too, and mean B's memory
        targets = [at for at in targets if at >= MEDIATOR_GGTT]
    for at in targets:
        attack(attacker, at)
    check(shared, victim, before, attacker)


# -- attacks by an address in a page table --------------------------------------------------------


def use(b: Attacker, context: Context) -> None:
    """Write to and read from what TARGET is mapped to, in several ways."""
    from_there, to_there = copy_dword(OWN, TARGET), copy_dword(TARGET, OWN)
    work = [*from_there, *to_there, *store_dword(TARGET + 8, MARK), *atomic_add(TARGET, 1)]
    b.run_batch_in(context, work)


def ppgtt_page(b: Attacker, physical: int) -> None:
    context = b.context()
    b.driver.ram.write_u64(context.tables.slot(TARGET), physical | PRESENT_RW)
    use(b, context)


def ppgtt_page_64k(b: Attacker, physical: int) -> None:
    context = b.context()
    slot, directory = context.tables.slot(TARGET), context.tables.slot(TARGET, 2)
    ram = b.driver.ram
    ram.write_u64(slot, physical & ~0xFFFF | PRESENT_RW)
    ram.write_u64(directory, ram.read_u64(directory) | IPS_64K)
    use(b, context)


def ppgtt_page_2m(b: Attacker, physical: int) -> None:
    context = b.context()
    entry = physical & ~0x1F_FFFF | PAGE_SIZE | PRESENT_RW
    b.driver.ram.write_u64(context.tables.slot(TARGET, 2), entry)
    use(b, context)


def ppgtt_page_1g(b: Attacker, physical: int) -> None:
    context = b.context()
    entry = physical & ~0x3FFF_FFFF | PAGE_SIZE | PRESENT_RW
    context.tables.slot(BATCH)
    b.driver.ram.write_u64(context.tables.slot(TARGET, 1), entry)
    use(b, context)


def ppgtt_tables(b: Attacker, physical: int) -> None:
    """Tables that lie in what is not B's, at each level."""
    for level in range(3):
        context = b.context()
        far = TARGET + (1 << 40)  # apart from the batch and OWN
        b.driver.ram.write_u64(context.tables.slot(far, level), physical | PRESENT_RW)
        context.tables.place(
            BATCH, [*copy_dword(OWN, far), *store_dword(far, MARK), MI_BATCH_BUFFER_END]
        )
        b.run(context, batch_start(BATCH))


def ppgtt_root(b: Attacker, physical: int) -> None:
    context = b.context()
    b.driver.ram.write_u32(context.value(ImageIndex.PDP0_UDW), physical >> 32)
    b.driver.ram.write_u32(context.value(ImageIndex.PDP0_LDW), physical & 0xFFFF_FFFF)
    b.run(context, batch_start(BATCH))


def ppgtt_batch(b: Attacker, physical: int) -> None:
    """A user batch that lies there."""
    context = b.context()
    b.driver.ram.write_u64(context.tables.slot(TARGET), physical | PRESENT_RW)
    b.run(context, batch_start(TARGET))


def ppgtt_blits(b: Attacker, physical: int) -> None:
    for work in (
        copy_blit(OWN, TARGET, 256, 64, 4),
        copy_blit(TARGET, OWN, 256, 64, 4),
        copy_blit(OWN, TARGET, 256, 64, 4, fast=True),
        color_blit(TARGET, 256, 64, 4, MARK),
    ):
        context = b.context("bcs0")
        b.driver.ram.write_u64(context.tables.slot(TARGET), physical | PRESENT_RW)
        b.run_batch_in(context, work)


def tables_that_change(b: Attacker, physical: int) -> None:
    """Good when submitted, bad while it runs: a batch that waits, then uses TARGET."""
    driver, context = b.driver, b.context()
    flag = driver.ram.allocate()
    context.tables.map(TARGET, b.own)
    context.tables.map(TARGET + PAGE, flag)
    work = [
        *store_dword(TARGET + PAGE, 1),
        MI_USER_INTERRUPT,
        *semaphore_wait(TARGET + PAGE + 4, 1),
        *copy_dword(OWN + 16, TARGET),
        *store_dword(TARGET, MARK),
        MI_BATCH_BUFFER_END,
    ]
    context.tables.place(BATCH, work)
    request = driver.add_request(context, batch_start(BATCH))
    driver.submit(context)
    driver.wait_until(lambda: driver.ram.read_u32(flag) == 1, "the batch")
    driver.ram.write_u64(context.tables.slot(TARGET), physical | PRESENT_RW)
    driver.ram.write_u32(flag + 4, 1)
    ends = time.monotonic() + END_OF_ATTACK_S
    while not (driver.done(request) or driver.error("rcs0")) and time.monotonic() < ends:
        time.sleep(0.0005)
    driver.reset(*ENGINE_BASES)
    b.start()


def ggtt_entry(b: Attacker, physical: int) -> None:
    """B's own entry, to what is not its memory: by command, through the aperture, as anything."""
    at = b.driver.ggtt.take(4)
    region = b.guest.client
    b.driver.ggtt_write(at, *[physical | 1] * 4)
    region.region_write(APERTURE_REGION, at, struct.pack("<I", MARK))
    stolen = region.region_read(APERTURE_REGION, at, 64)
    assert struct.pack("<I", SECRET) not in stolen
    for attack in (stores, reads, context_there, status_page_there, image_values):
        attack(b, at)
        b.driver.ggtt_write(at, *[physical | 1] * 4)


BY_TABLE: list[Attack] = [
    ppgtt_page,
    ppgtt_page_64k,
    ppgtt_page_2m,
    ppgtt_page_1g,
    ppgtt_tables,
    ppgtt_root,
    ppgtt_batch,
    ppgtt_blits,
    tables_that_change,
]


@pytest.mark.parametrize("shared", cases(MEDIATED, quick=[DIRECT]), indirect=True, ids=str)
@pytest.mark.parametrize("attack", BY_TABLE, ids=lambda function: function.__name__)
def test_page_table_entries(shared: Rig, victim: Guest, attacker: Attacker, attack: Attack) -> None:
    before = victim.content()
    for physical in physical_targets(shared):
        attack(attacker, physical)
    check(shared, victim, before, attacker)


@pytest.mark.modes
def test_ggtt_entries(shared: Rig, victim: Guest, attacker: Attacker) -> None:
    before = victim.content()
    for physical in physical_targets(shared)[:4]:
        ggtt_entry(attacker, physical)
    check(shared, victim, before, attacker)


def works(attempt: Callable[[], bool]) -> bool:
    """Whether an attack has its effect: an attempt is given up soon, maybe on a busy machine."""
    return any(attempt() for _ in range(ATTEMPTS))


@pytest.mark.parametrize("attack", [ppgtt_page, ppgtt_page_64k, ppgtt_page_2m])
def test_the_attacks_on_page_tables_work_on_ones_own_memory(
    attacker: Attacker, attack: Attack
) -> None:
    """Else they would show nothing. (64K and 2M reach the start of what they are given.)"""
    mine, loot = 12 * MIB, struct.pack("<3I", LOOT, 1, 2)

    def attempt() -> bool:
        attacker.guest.ram.write(mine, loot)
        attack(attacker, mine)
        return LOOT in attacker.stolen and attacker.guest.content()[mine : mine + 12] != loot

    assert works(attempt)


@pytest.mark.parametrize("attack", [stores, reads, from_a_privileged_batch, entries_by_register])
def test_the_attacks_by_ggtt_work_on_ones_own_memory(attacker: Attacker, attack: Attack) -> None:
    mine, loot = 12 * MIB, struct.pack("<2I", LOOT, LOOT)

    def attempt() -> bool:
        at = attacker.driver.ggtt.take(1)
        attacker.driver.ggtt_write(at, mine | 1)
        attacker.guest.ram.write(mine, loot)
        attack(attacker, at)
        changed = attacker.guest.content()[mine : mine + 8] != loot
        return changed or attacker.driver.ggtt_entry(at) != mine | 1 or LOOT in attacker.stolen

    assert works(attempt)


# -- what is left behind --------------------------------------------------------------------------


def residue(guest: Guest) -> bytes:
    """Everything that a fresh client can read of its GPU, and that its GPU can be made to store."""
    client, driver = guest.client, guest.driver
    found = [driver.read(offset, 4) for offset in REGISTER_MAP.by_offset]
    found += [client.region_read(APERTURE_REGION, n * PAGE, PIECE) for n in range(0, 2048, 8)]
    driver.initialise()
    found += [client.region_read(APERTURE_REGION, n * PAGE, PIECE) for n in range(2048)]
    for engine, base in ENGINE_BASES.items():
        context = driver.create_context(engine)
        page = driver.ram.allocate()
        at = driver.ggtt_map(page)
        registers = [*range(base + GPR, base + GPR + 128, 4), base + 0x94, 0x2410, 0x2418]
        stored = [
            d for n, r in enumerate(registers) for d in store_register(r, at + 4 * n, ggtt=True)
        ]
        driver.wait(driver.run(context, stored))
        second = driver.create_context(engine)
        driver.ram.write_u32(second.value(ImageIndex.CONTEXT_CONTROL), 0x0009_0008)
        driver.schedule(second)  # restores from an image that it never saved
    driver.wait_idle()
    return b"".join((*found, guest.content()))


def test_a_new_client_finds_nothing_of_the_last_one(shared: Rig) -> None:
    with shared.guest(0) as first:
        plant(first)
        pages = [PLANTED + n * PAGE for n in range(256)]
        for address in (first.driver.ggtt.low.start + 8 * MIB, first.driver.ggtt.high.start):
            first.driver.ggtt_write(address, *(page | 1 for page in pages))
        at = first.driver.ggtt_map(PLANTED + PAGE)
        first.client.region_write(APERTURE_REGION, at, struct.pack("<I", SECRET) * 16)
        for engine, base in ENGINE_BASES.items():
            for offset in (0x94, 0x1D0, 0x358):
                first.driver.write32(base + offset, SECRET)
            first.driver.run(first.driver.create_context(engine))
        first.driver.write32(0x100000, SECRET)
        first.driver.write32(0x4F100, SECRET)
    for number in (0, 1):
        with shared.guest(number, initialise=False) as second:
            assert residue(second).find(struct.pack("<I", SECRET)) == -1
            again = second.new_driver(msi=False)
            again.initialise()
            assert set(again.read(8 * MIB + 8 * 4096, 4096)) == {0}


def test_function_reset_leaves_nothing(shared: Rig, victim: Guest) -> None:
    """The guest's own memory is its own; what the GPU kept of it is gone."""
    victim.ram.write(0, bytes(RAM_SIZE))
    victim.client.reset()
    victim.new_driver(msi=False)
    assert residue(victim).find(struct.pack("<I", SECRET)) == -1
