"""Programs written here, by the project's own assembler, and a driver's memory around them."""

from __future__ import annotations

import struct

from mediator.gen9.eu.types import Packed, Type
from mediator.softgpu.eu.isa.assembler import Assembler, Value
from mediator.softgpu.eu.isa.instruction import Condition
from mediator.softgpu.eu.isa.register import Register, grf, immediate, null
from tests.gpu_driver import Context, GpuDriver
from tests.gpu_driver.commands import MI_BATCH_BUFFER_START_PPGTT
from tests.unit.mediator.eu import media_commands as mc

LANES = 8
STATE, CODE, RESULTS, BATCH = 0x40_0000, 0x50_0000, 0x60_0000, 0x70_0000
"""GPU addresses, a page each but for the results."""
PAGE = 4096
_DATA_PORT_1 = 12
_A64_UNTYPED_WRITE_X = 2 << 25 | 0x19 << 14 | 2 << 12 | 0xE << 8 | 0xFF
_A64_UNTYPED_READ_X = 2 << 25 | 1 << 20 | 0x11 << 14 | 2 << 12 | 0xE << 8 | 0xFF


def _count(asm: Assembler, count: Register, limit: Value) -> None:
    """A loop that counts from 0 to ``limit``."""
    asm.mov(count.scalar, 0, width=1, no_mask=True)
    asm.label("again")
    asm.add(count.scalar, count.scalar, 1, width=1, no_mask=True)
    asm.cmp(
        null().of(Type.UD),
        count.scalar,
        limit,
        width=1,
        no_mask=True,
        condition=Condition.NOT_EQUAL,
    )
    asm.jmpi("again", predicate=True)


def counting_program() -> bytes:
    """Counts up to a number and writes it, plus the group's, into the group's 32 bytes.

    Constants: the results' address (64 bits), the number. 0 is reached after 2^32 steps.
    """
    asm = Assembler()
    count, lanes = grf(10, Type.UD), grf(6, Type.UW)
    _count(asm, count, grf(1, Type.UD)[2].scalar)
    asm.mov(lanes, immediate(0x76543210, Packed.V))
    asm.shl(grf(8, Type.UD), lanes, 2)
    asm.shl(grf(2, Type.UD).scalar, grf(0, Type.UD)[1].scalar, 5, width=1, no_mask=True)
    asm.add(grf(8, Type.UD), grf(8, Type.UD), grf(2, Type.UD).scalar)
    asm.add(grf(12, Type.UQ), grf(8, Type.UD), grf(1, Type.UQ).scalar)
    asm.add(grf(14, Type.UD), count.scalar, grf(0, Type.UD)[1].scalar)
    asm.send(None, 12, _DATA_PORT_1, _A64_UNTYPED_WRITE_X, more=(14, 1))
    asm.mov(grf(127, Type.UD), grf(0, Type.UD), no_mask=True)
    asm.end()
    return asm.code()


def copying_program(rounds: int = 0) -> bytes:
    """Copies 32 bytes. Constants: where to, where from (64 bits each).

    Between reading and writing it counts up to ``rounds``: so long they are in a register.
    """
    asm = Assembler()
    lanes, offsets = grf(6, Type.UW), grf(8, Type.UD)
    asm.mov(lanes, immediate(0x76543210, Packed.V))
    asm.shl(offsets, lanes, 2)
    asm.add(grf(10, Type.UQ), offsets, grf(1, Type.UQ)[1].scalar)
    asm.add(grf(12, Type.UQ), offsets, grf(1, Type.UQ).scalar)
    asm.send(grf(14, Type.UD), 10, _DATA_PORT_1, _A64_UNTYPED_READ_X)
    if rounds:
        _count(asm, grf(16, Type.UD), immediate(rounds, Type.UD))
    asm.send(None, 12, _DATA_PORT_1, _A64_UNTYPED_WRITE_X, more=(14, 1))
    asm.mov(grf(127, Type.UD), grf(0, Type.UD), no_mask=True)
    asm.end()
    return asm.code()


def place_batch(driver: GpuDriver, context: Context, code: bytes, data: bytes, groups: int) -> None:
    """At BATCH: run ``code`` in ``groups`` groups of one thread; ``data`` are its constants."""
    tables, ram = context.tables, driver.ram
    state = ram.allocate()
    ram.write(state, mc.descriptor(own=1))
    ram.write(state + 0x100, data.ljust(32, b"\0"))
    tables.map(STATE, state)
    place = ram.allocate()
    ram.write(place, code)
    tables.map(CODE, place)
    words = [
        *mc.base_address(dynamic=STATE, instruction=CODE),
        *mc.front_end(),
        *mc.curbe_load(0x100, 32),
        *mc.descriptor_load(0),
        *mc.walker((groups, 1, 1), simd_code=0),
        0x05 << 24,
    ]
    tables.place(BATCH, words)


class Copying:
    """A context whose batch copies 32 bytes from ``source`` (a GPU address) to its results.

    ``rounds``: how long it has them in a register.
    """

    def __init__(self, driver: GpuDriver, source: int, rounds: int = 0) -> None:
        self.driver = driver
        self.context: Context = driver.create_context("rcs0")
        self._results = driver.ram.allocate()
        self.context.tables.map(RESULTS, self._results)
        data = struct.pack("<QQ", RESULTS, source)
        place_batch(driver, self.context, copying_program(rounds), data, 1)

    def start(self) -> list[int]:
        """The commands that run the batch."""
        return [MI_BATCH_BUFFER_START_PPGTT, BATCH, 0, 0]

    @property
    def result(self) -> bytes:
        """What has been copied."""
        return self.driver.ram.read(self._results, 32)


class Counting:
    """A context whose batch runs the counting program in ``groups`` groups of one thread."""

    def __init__(self, driver: GpuDriver, groups: int, count: int) -> None:
        self.driver = driver
        self.groups = groups
        self.count = count
        self.context: Context = driver.create_context("rcs0")
        tables, ram = self.context.tables, driver.ram
        self._results = ram.allocate(-(-32 * groups // PAGE))
        tables.map(RESULTS, self._results, -(-32 * groups // PAGE))
        data = struct.pack("<QI", RESULTS, count)
        place_batch(driver, self.context, counting_program(), data, groups)

    def start(self) -> list[int]:
        """Forget old results; the commands that run the batch."""
        self.driver.ram.write(self._results, bytes(32 * self.groups))
        return [MI_BATCH_BUFFER_START_PPGTT, BATCH, 0, 0]

    def is_right(self) -> bool:
        """Every group has written what it counted."""
        expected = b"".join(
            struct.pack("<I", self.count + group) * LANES for group in range(self.groups)
        )
        return self.driver.ram.read(self._results, 32 * self.groups) == expected
