"""Valid privileged streams, modelled on what i915 emits for Gen9: the audit must take them all.

Source: Linux 6.1 and 6.12, i915 gt/gen8_engine_cs.c (requests), intel_lrc.c (context workarounds),
intel_workarounds.c, intel_mocs.c, intel_context_sseu.c, intel_migrate.c, intel_renderstate.c,
i915_perf.c; gen9.md 3.4 in short. Streams are lists of dwords; addresses are of `audit_bench`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mediator.gen9.engines import EngineClass
from tests.unit.mediator.audit_bench import (
    BASES,
    BATCH,
    BATCH_END,
    NOOP,
    SCRATCH,
    START,
    STATUS_PAGE,
    USER,
)

GLOBAL = 1 << 22
ARB_CHECK = 0x05 << 23
ARB_OFF, ARB_ON = 0x08 << 23, 0x08 << 23 | 1
USER_INTERRUPT = 0x02 << 23
STORE_DATA = 0x20 << 23 | 2
STORE_REGISTER = 0x24 << 23 | 2
LOAD_REGISTER = 0x29 << 23 | 2
MOVE_REGISTER = 0x2A << 23 | 1
LOAD_IMMEDIATE = 0x22 << 23
SEMAPHORE_WAIT = 0x1C << 23 | 2
FLUSH_DW = 0x26 << 23
PIPE_CONTROL = 0x7A00_0004
MATH = 0x1A << 23
FAST_COPY = 0x42 << 22 | 2 << 29 | 8
SOURCE_COPY = 0x53 << 22 | 2 << 29 | 3 << 20 | 8
REPORT_PERF_COUNT = 0x28 << 23 | 2
POLL, EQUAL = 1 << 15, 4 << 12
SEQNO = STATUS_PAGE + 0x108
PREEMPT = STATUS_PAGE + 0xC8
STATUS_SCRATCH = 0x34 << 2
USER_BATCH = 0x1_2345_6000
L3SQCREG4 = 0xB118

Stream = Sequence[int]


def pipe_control(flags: int, address: int = 0, value: int = 0) -> list[int]:
    return [PIPE_CONTROL, flags, address, 0, value, 0]


def load_immediate(*pairs: tuple[int, int]) -> list[int]:
    return [
        LOAD_IMMEDIATE | 1 << 12 | 2 * len(pairs) - 1,
        *(dword for pair in pairs for dword in pair),
    ]


def initial_breadcrumb() -> list[int]:
    return [STORE_DATA | GLOBAL, SEQNO, 0, 41, NOOP, ARB_CHECK]


def flush(engine: str) -> list[int]:
    """The invalidation before a request and the flush behind it."""
    if engine == "RCS":
        invalidate = 1 << 18 | 1 << 11 | 1 << 10 | 1 << 4 | 1 << 3 | 1 << 2 | 1 << 14 | 1 << 21
        return [
            *pipe_control(0),
            *pipe_control(1 << 20 | invalidate, STATUS_SCRATCH),
            *pipe_control(1 << 20 | 1 << 12 | 1 << 0 | 1 << 5 | 1 << 7),
        ]
    header = FLUSH_DW | 2 | 1 << 21 | 1 << 14
    invalidate = header | 1 << 18 | (1 << 7 if engine == "VCS" else 0)
    return [invalidate, STATUS_SCRATCH, 0, 0, header, STATUS_SCRATCH, 0, 0]


def start_batch(address: int = USER_BATCH, *, user: bool = True) -> list[int]:
    low, high = address & 0xFFFF_FFFF, address >> 32
    return [ARB_ON, START | (USER if user else 0), low, high, ARB_OFF, NOOP]


def breadcrumb(engine: str, *, semaphores: bool = True) -> list[int]:
    """The end of a request; ``semaphores``: without PVINFO."""
    if engine == "RCS":
        stream = [
            *pipe_control(1 << 20 | 1 << 18 | 1 << 12 | 1 << 0 | 1 << 5),
            *pipe_control(1 << 24 | 1 << 14 | 1 << 7 | 1 << 20, SEQNO, 42),
        ]
    else:
        stream = [FLUSH_DW | 2 | 1 << 14, SEQNO | 1 << 2, 0, 42]
    stream += [USER_INTERRUPT, ARB_ON]
    if semaphores:
        stream += [ARB_CHECK, SEMAPHORE_WAIT | GLOBAL | POLL | EQUAL, 0, PREEMPT, 0, NOOP]
    return [*stream, ARB_CHECK, NOOP]


def request(engine: str, *, semaphores: bool = True) -> list[int]:
    return [
        *initial_breadcrumb(),
        *flush(engine),
        *start_batch(),
        *breadcrumb(engine, semaphores=semaphores),
    ]


def wait_for_another_engine() -> list[int]:
    """A request's hardware semaphore on the breadcrumb of another timeline."""
    return [SEMAPHORE_WAIT | GLOBAL | POLL | 1 << 12, 40, SEQNO, 0]


def context_workarounds(_engine: str = "RCS") -> list[int]:
    """i915's list for the render context, and user-mode slots and MOCS as 4.x kernels load them."""
    registers = (0x7010, 0x7300, 0x7004, 0x7000, 0xE184, 0xE194, 0xE188, 0xE180, 0x2580, 0x7008)
    slots = [(0x24D0 + 4 * n, 0x2248) for n in range(12)]
    mocs = [(0xC800 + 4 * n, 9) for n in range(62)] + [(0xB020 + 4 * n, 0x30) for n in range(31)]
    return [
        *load_immediate(*((register, 0x1_0001) for register in registers)),
        NOOP,
        *load_immediate(*slots),
        *load_immediate(*mocs),
        NOOP,
    ]


def slice_configuration() -> list[int]:
    """The power state is written into another context's image, through the GGTT."""
    return [STORE_DATA | GLOBAL, SCRATCH + 0x10C, 0, 0x8000_0201]


def workaround_check(base: int = BASES["RCS"]) -> list[int]:
    """Registers stored into the GGTT, to look at from the processor."""
    offsets = (base + 0x4D0, 0x7010, 0x7300, L3SQCREG4, base + 0x358)
    return [
        dword
        for n, offset in enumerate(offsets)
        for dword in (STORE_REGISTER | GLOBAL, offset, SCRATCH + 4 * n, 0)
    ]


def migrate() -> list[int]:
    """Page-table entries by the copy engine's own window, then a copy of pages, in the ring."""
    entries = [dword for page in range(8) for dword in (page << 12 | 3, 0)]
    return [
        STORE_DATA - 2 | 1 << 21 | len(entries) + 1,
        0x0100_0000,
        0,
        *entries,
        NOOP,
        *flush("BCS"),
        *(FAST_COPY, 3 << 24 | 0x1000, 0, 8 << 16 | 0x400, 0x80_0000, 0, 0, 0x1000, 0, 0),
        *(SOURCE_COPY, 0x3CC_1000, 0, 8 << 16 | 0x400, 0x80_0000, 0, 0, 0x1000, 0, 0),
    ]


def measure(base: int = BASES["RCS"]) -> list[int]:
    """i915's engine selftests and request timing: counters, clocks, atomics, copies."""
    return [
        *(STORE_REGISTER | GLOBAL, base + 0x358, SCRATCH + 0x100, 0),
        *(0x2E << 23 | GLOBAL | 1 << 21 | 3, SCRATCH + 0x104, 0, SCRATCH + 0x100, 0),
        *(0x2F << 23 | GLOBAL | 5 << 8 | 1, SCRATCH + 0x108, 0),
        *(0x2F << 23 | GLOBAL | 1 << 18 | 1 << 17 | 4 << 8 | 9, SCRATCH + 0x108, 0, 1),
        *[0] * 7,
        *(0x21 << 23 | 1 << 21 | 1, STATUS_SCRATCH, 7),
        *(MOVE_REGISTER, base + 0x358, base + 0x600),
        *(MATH | 3, 0x0800_8000, 0x0800_8401, 0x1000_0000, 0x1800_0031),
        *(REPORT_PERF_COUNT, SCRATCH + 0x200 | 1, 0, 1),
        *(REPORT_PERF_COUNT, 0x20_0000, 0, 1),
        *(0x27 << 23 | GLOBAL | 3, SCRATCH, 0, 0xFFFF_FFFF, 0xFFFF_FFFF),
        *(0x0C << 23 | 2 << 6, 0x01 << 23 | 3, 0x01 << 23, 0x07 << 23),
    ]


def indirect_context() -> list[int]:
    """The indirect context batch of the render engine, filled up to whole cache lines."""
    stream = [
        ARB_OFF,
        *(STORE_REGISTER | GLOBAL, L3SQCREG4, SCRATCH + 0x80, 0),
        *load_immediate((L3SQCREG4, 0x4060_0000)),
        *pipe_control(1 << 20 | 1 << 5),
        *(LOAD_REGISTER | GLOBAL, L3SQCREG4, SCRATCH + 0x80, 0),
        *pipe_control(1 << 27 | 1 << 21 | 1 << 20 | 1 << 14, STATUS_SCRATCH),
        *load_immediate((0x7014, 1 << 28), (0x2088, 0x0200_0200), (0x2090, 0x0020_0020)),
        ARB_ON,
    ]
    return stream + [NOOP] * (-len(stream) % 16)


def golden_state() -> list[int]:
    """Shaped as the null render state batch: zeroed states, invalid ones, surface state bases."""
    state = [0x7A00_0004, 1 << 20, 0, 0, 0, 0, 0x6904_0300]
    for key in (0x7814, 0x7820, 0x7813, 0x781F, 0x7851, 0x7810, 0x781B, 0x781D, 0x7812, 0x7850):
        state += [key << 16 | 6, *[0] * 7]
    bases = [0x6101_0011, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, *[0xFFFF_F001] * 4, 1, 0]
    tail = [0x7904_0002, 0, 0, 0, 0x780B_0000, 0x7808_0003, 0, 0, 0, 0, 0x7B00_0005, *[0] * 6]
    return [*state, *bases, *tail, BATCH_END]


def performance_wait(address: int = BATCH, base: int = BASES["RCS"]) -> list[int]:
    """The wait for the OA unit: two loops by predicated jumps within a privileged batch."""
    registers = [base + 0x600 + 8 * n + half for n in range(5) for half in (0, 4)]
    places = [
        (register, address + 0x1000 + 4 * n) for n, register in enumerate([*registers, 0x241C])
    ]
    stream = [d for reg, place in places for d in (STORE_REGISTER | GLOBAL, reg, place, 0)]
    snapshot = len(stream)
    stream += [*load_immediate((base + 0x604, 0)), MOVE_REGISTER, base + 0x358, base + 0x600]
    loop = len(stream)
    stream += [*load_immediate((base + 0x60C, 0)), MOVE_REGISTER, base + 0x358, base + 0x608]
    stream += [MATH | 4, 0x0800_8001, 0x0800_8400, 0x1010_0000, 0x1800_0831, 0x1800_0C33]
    stream += [MOVE_REGISTER, base + 0x618, 0x241C]
    stream += [START | 1 << 15, address + 4 * snapshot, 0]
    stream += load_immediate((base + 0x620, 0xFFFF_0000), (base + 0x624, 0xFFFF_FFFF))
    stream += [MATH | 3, 0x0800_8002, 0x0800_8404, 0x1000_0000, 0x5800_0C33, ARB_CHECK]
    stream += [MOVE_REGISTER, base + 0x618, 0x241C]
    stream += [START | 1 << 15, address + 4 * loop, 0]
    stream += [d for reg, place in places for d in (LOAD_REGISTER | GLOBAL, reg, place, 0)]
    return [*stream, BATCH_END]


RINGS: dict[str, Callable[[EngineClass], Stream]] = {
    "request": request,
    "request of a vGPU": lambda engine: request(engine, semaphores=False),
    "secure batch": lambda engine: [*start_batch(BATCH, user=False), *breadcrumb(engine)],
    "semaphore": lambda engine: [*wait_for_another_engine(), *request(engine)],
    "slices": lambda _engine: slice_configuration(),
    "workarounds checked": lambda engine: workaround_check(BASES[engine]),
    "padding": lambda _engine: [NOOP] * 64,
}
"""On every engine."""
RENDER_RINGS: dict[str, Callable[[EngineClass], Stream]] = {
    "context workarounds": context_workarounds,
    "measure": lambda engine: measure(BASES[engine]),
}
COPY_RINGS: dict[str, Callable[[EngineClass], Stream]] = {"migrate": lambda _engine: migrate()}
