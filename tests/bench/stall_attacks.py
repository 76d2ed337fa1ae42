"""What a guest or its client can do to hold up others: each attack goes on until it is stopped.

A process of its own, and nice, so that what a neighbour loses is the daemon's time and not the
machine's: ``python -m tests.bench.stall_attacks PATH NAME``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from mmio_trap.vfio_user.protocol import RequestError
from tests.gpu_driver import ENGINE_BASES, MI_ARB_CHECK, MI_ARB_OFF, MI_BATCH_BUFFER_END, Context
from tests.gpu_driver.commands import MI_USER_INTERRUPT, batch_start, load_register, store_dword
from tests.gpu_driver.driver import ELSP, GDRST, GSM
from tests.gpu_driver.memory import PAGE
from tests.integration.vgpu_rig import Guest, connect
from tests.integration.vgpu_worker import Worker

MIB = 1 << 20
ENGINES = list(ENGINE_BASES)
RAM_SIZE = 64 * MIB
BATCH, BATCH_BYTES = 0x10_0000, MIB - PAGE
NOWHERE = 0x1234_5678_9000
REFUSED = 0xA188
"""A register that no command may write: forcewake."""
BARE_UPDATE = 0x23 << 23 | 2
LINGER_S = 0.23
"""Less than the watchdog's patience."""
RANGES = 60_000
TABLES = 5_000
APERTURE = 2

Attack = Callable[[Guest], None]


# -- long audits ----------------------------------------------------------------------------------


def _audits(command: Sequence[int]) -> Attack:
    """A MiB of ``command`` in a privileged batch, submitted again and again."""

    def attack(guest: Guest) -> None:
        driver = guest.driver
        page = driver.ram.allocate(BATCH_BYTES // PAGE)
        address = driver.ggtt_map(page, BATCH_BYTES // PAGE, high=True)
        room = BATCH_BYTES // 4 - 1
        dwords = list(command) * (room // len(command))
        driver.ram.write_u32(page, *dwords, MI_BATCH_BUFFER_END)
        while True:
            context = _fresh(guest)
            driver.emit(context, batch_start(address, ggtt=True))
            _submit_and_recover(guest, context)

    return attack


_contexts: dict[int, Context] = {}


def _fresh(guest: Guest) -> Context:
    """The one context of this attack, as if nothing had run."""
    context = _contexts.get(id(guest))
    if context is None:
        context = _contexts[id(guest)] = guest.driver.create_context("rcs0")
    return context


def _submit_and_recover(guest: Guest, context: Context) -> None:
    driver = guest.driver
    driver.submit(context)
    with suppress(AssertionError):
        driver.wait_until(
            lambda: driver.ports["rcs0"].idle or driver.error("rcs0"), "its end", patience=1.0
        )
    driver.recover("rcs0", context)


def deep_tables(guest: Guest) -> None:
    """Two contexts in turn, with thousands of page tables each, which change every time."""
    driver = guest.driver
    contexts = [driver.create_context("rcs0") for _ in range(2)]
    for context in contexts:
        for n in range(TABLES):
            context.tables.map(n << 21, PAGE)
    value = 0
    while True:
        for context in contexts:
            value += PAGE
            for n in range(0, TABLES, 8):
                driver.ram.write_u64(context.tables.slot(n << 21), value % MIB | 1)
            driver.emit(context, [0, 0])
            _submit_and_recover(guest, context)


# -- long accesses --------------------------------------------------------------------------------


def register_reads(guest: Guest) -> None:
    while True:
        guest.client.region_read(0, 0, MIB)


def register_writes(guest: Guest) -> None:
    while True:
        guest.client.region_write(0, 0x4_0000, bytes(MIB))


def entry_writes(guest: Guest) -> None:
    while True:
        for filler in (b"\0", b"\1"):
            for at in range(0, 4 * MIB, MIB):
                guest.client.region_write(0, GSM + at, filler * MIB)


def aperture_reads(guest: Guest) -> None:
    while True:
        guest.client.region_read(APERTURE, 0, MIB)


def short_reads(guest: Guest) -> None:
    """As fast as one thread can ask, without pause."""
    while True:
        guest.client.region_read(0, 0x2358, 4)


# -- the memory map -------------------------------------------------------------------------------


def maps(guest: Guest) -> None:
    """Ranges by the ten thousand, and all taken back at once."""
    first = 1 << 32
    fd = os.memfd_create("ranges", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, PAGE)
    while True:
        with suppress(RequestError):  # as many as there may be
            for n in range(RANGES):
                guest.client.dma_map(first + 2 * PAGE * n, PAGE, fd)
        guest.client.dma_unmap(first, 2 * PAGE * RANGES)


def remaps(guest: Guest) -> None:
    """One range, mapped and taken back without pause."""
    fd = os.memfd_create("range", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, MIB)
    while True:
        guest.client.dma_map(1 << 32, MIB, fd)
        guest.client.dma_unmap(1 << 32, MIB)


# -- who does not give way ------------------------------------------------------------------------


def lingering(guest: Guest) -> None:
    """Batches without an arbitration point, each a little shorter than the watchdog waits."""
    driver = guest.driver
    context = driver.create_context("rcs0")
    page = context.tables.place(BATCH, [0] * 8)
    while True:
        driver.ram.write_u32(page, *batch_start(BATCH))
        request = driver.run(context, batch_start(BATCH))
        time.sleep(LINGER_S)
        driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
        driver.wait(request)


def one_by_one(guest: Guest) -> None:
    """Two lists on each engine, whose first ends a little before the patience does: in turn."""
    driver = guest.driver
    contexts = {e: [driver.create_context(e) for _ in range(2)] for e in ENGINES}
    pages = {e: c[0].tables.place(BATCH, [0] * 8) for e, c in contexts.items()}
    for engine in ENGINES:
        contexts[engine][1].tables.place(BATCH, [MI_BATCH_BUFFER_END])
    while True:
        requests = []
        for engine, (first, second) in contexts.items():
            driver.ram.write_u32(pages[engine], *batch_start(BATCH))
            requests.append(driver.run(first, batch_start(BATCH)))
            requests.append(driver.run(second, batch_start(BATCH)))
        for engine in ENGINES:
            time.sleep(LINGER_S)
            driver.ram.write_u32(pages[engine], MI_BATCH_BUFFER_END)
        with suppress(AssertionError):
            driver.wait(*requests, patience=0.3)
        for engine, (first, second) in contexts.items():
            if not driver.ports[engine].idle:
                driver.recover(engine, first)
                second.requests = driver.ram.read_u32(second.timeline)


def unarbitrated(guest: Guest) -> None:
    """Endless, with arbitration off and a no-op behind that."""
    _endless(guest, [MI_ARB_OFF, 0, *batch_start(BATCH)], [MI_ARB_CHECK, *batch_start(BATCH)])


def endless(guest: Guest) -> None:
    """A loop that nothing but a reset ends."""
    _endless(guest, batch_start(BATCH), batch_start(BATCH))


def _endless(guest: Guest, ring: Sequence[int], batch: Sequence[int]) -> None:
    driver = guest.driver
    context = driver.create_context("rcs0")
    context.tables.place(BATCH, list(batch))
    while True:
        driver.run(context, list(ring))
        with suppress(AssertionError):
            driver.wait_until(lambda: driver.error("rcs0"), "an error", patience=0.6)
        driver.recover("rcs0", context)


# -- storms ---------------------------------------------------------------------------------------


def page_faults(guest: Guest) -> None:
    driver = guest.driver
    context = driver.create_context("rcs0")
    context.tables.place(BATCH, [*store_dword(NOWHERE, 1), MI_BATCH_BUFFER_END])
    while True:
        driver.run(context, batch_start(BATCH))
        with suppress(AssertionError):
            driver.wait_until(lambda: driver.error("rcs0"), "an error", patience=0.2)
        driver.recover("rcs0", context)


def interrupts(guest: Guest) -> None:
    """User interrupts as fast as an engine can raise them."""
    driver = guest.driver
    context = driver.create_context("rcs0")
    context.tables.place(BATCH, [*[MI_USER_INTERRUPT] * 500, MI_ARB_CHECK, *batch_start(BATCH)])
    driver.run(context, batch_start(BATCH))
    while True:
        time.sleep(0.1)
        driver.process()


def tiny_requests(guest: Guest) -> None:
    """Submissions of next to nothing on all engines, without pause."""
    driver = guest.driver
    contexts = [driver.create_context(engine) for engine in ENGINES]
    while True:
        driver.wait(*(driver.run(context) for context in contexts))


def full_ports(guest: Guest) -> None:
    """Submissions that find the port full."""
    driver = guest.driver
    context = driver.create_context("rcs0")
    context.tables.place(BATCH, [MI_ARB_CHECK, *batch_start(BATCH)])
    driver.run(context, batch_start(BATCH))
    descriptor = context.descriptor
    port = ENGINE_BASES["rcs0"] + ELSP
    while True:
        for word in (0, 0, descriptor >> 32, descriptor & 0xFFFF_FFFF):
            driver.write32(port, word)
        driver.read32(port)


# -- resets and clients ---------------------------------------------------------------------------


def engine_resets(guest: Guest) -> None:
    while True:
        guest.driver.recover("rcs0")


def full_resets(guest: Guest) -> None:
    while True:
        guest.driver.write32(GDRST, 1)
        guest.driver.read32(GDRST)


def function_resets(guest: Guest) -> None:
    while True:
        guest.client.reset()


def forcewake(guest: Guest) -> None:
    """Registers that natively make a driver wait."""
    while True:
        for value in (1 << 16 | 1, 1 << 16):
            guest.driver.write32(0xA278, value)
            guest.driver.write32(0x138124, 0x8000_0006)
            guest.driver.read32(0x138124)


def busy(guest: Guest) -> None:
    """No attack: honest work without pause."""
    worker = Worker(guest, 2)
    while True:
        worker.round()


def spinning(guest: Guest) -> None:
    """No attack: a batch that gives way whenever it should."""
    driver = guest.driver
    context = driver.create_context("rcs0")
    context.tables.place(BATCH, [MI_ARB_CHECK, *batch_start(BATCH)])
    driver.run(context, batch_start(BATCH))
    while True:
        time.sleep(0.1)
        driver.process()


ATTACKS: dict[str, Attack] = {
    "busy": busy,
    "spinning": spinning,
    "refused_loads": _audits(load_register((REFUSED, 0))),
    "update_gtt": _audits([BARE_UPDATE - 1, 0, 0]),
    "arb_checks": _audits([MI_ARB_CHECK]),
    "deep_tables": deep_tables,
    "register_reads": register_reads,
    "register_writes": register_writes,
    "entry_writes": entry_writes,
    "aperture_reads": aperture_reads,
    "short_reads": short_reads,
    "maps": maps,
    "remaps": remaps,
    "lingering": lingering,
    "one_by_one": one_by_one,
    "unarbitrated": unarbitrated,
    "endless": endless,
    "page_faults": page_faults,
    "interrupts": interrupts,
    "tiny_requests": tiny_requests,
    "full_ports": full_ports,
    "engine_resets": engine_resets,
    "full_resets": full_resets,
    "function_resets": function_resets,
    "forcewake": forcewake,
}
RECONNECTING = "reconnecting"
"""A client that comes, begins something endless, and goes."""


def main(path: str, name: str) -> None:
    """Attack by the vGPU at ``path``; says `ready` when it begins."""
    os.nice(19)
    if name == RECONNECTING:
        print("ready", flush=True)
        while True:
            guest = connect(path, ram_size=RAM_SIZE)
            context = guest.driver.create_context("rcs0")
            context.tables.place(BATCH, batch_start(BATCH))
            guest.driver.run(context, batch_start(BATCH))
            time.sleep(0.02)
            guest.close()
            time.sleep(0.02)
    guest = connect(path, ram_size=RAM_SIZE)
    print("ready", flush=True)
    ATTACKS[name](guest)


if __name__ == "__main__":
    main(*sys.argv[1:])
