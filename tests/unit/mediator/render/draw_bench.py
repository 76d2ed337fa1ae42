"""A render command streamer with a target, and a shader that tells where each pixel is."""

from __future__ import annotations

import struct

from mediator.softgpu.eu.dispatch.program_cache import ProgramCache
from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from mediator.softgpu.outcome import Stop
from tests.unit.mediator.command_bench import CommandBench, make_bench
from tests.unit.mediator.render import draw_commands as dc
from tests.unit.mediator.soft_gpu_fixture import Clock

NAME = "3DPRIMITIVE"
FILL = 0x5A5A_5A5A
INPUT = (0x111, 0x222, 0x333, 0x444)
TOPOLOGY = 0xF


class DrawBench:
    """Its time stands still, so that a draw is over when its command is."""

    def __init__(self, simd: int = 16) -> None:
        self.commands: CommandBench = make_bench("RCS")
        self.host = self.commands.host
        self.host.units = ExecutionUnits(ProgramCache(lambda: None), now=Clock())
        self.put(dc.INPUTS, struct.pack("<12I", 0, 0, 0, 0, *INPUT, 5, 6, 7, 8))
        self.put(dc.DYNAMIC + dc.BLEND, bytes(12))
        self.put(dc.KERNELS + 0x800, dc.telling_shader(simd))
        self.put(dc.SURFACE + dc.TABLE, struct.pack("<I", 0x100))
        self.target()
        self.corners(0, 0, 8, 4)

    def put(self, address: int, data: bytes) -> None:
        self.commands.memory.write(address, data)

    def target(self, state: bytes = b"", size: int = 16 * dc.WIDTH * dc.HEIGHT * 4) -> None:
        self.put(dc.SURFACE + 0x100, state or dc.surface())
        self.put(dc.TARGET, struct.pack("<I", FILL) * (size // 4))

    def corners(self, left: float, top: float, right: float, bottom: float) -> None:
        self.put(dc.VERTICES, dc.corners(left, top, right, bottom))

    def draw(self, packets: dc.Packets | None = None, call: list[int] | None = None) -> Stop:
        words = dc.flat(packets or dc.packets()) + (call or dc.primitive())
        return self.commands.batch(words)

    def pixel(self, x: int, y: int, layer: int = 0) -> list[int]:
        at = dc.TARGET + 16 * (x + dc.WIDTH * (y + layer * dc.HEIGHT))
        return self.commands.get(at, 4)

    def drawn(self, layer: int = 0) -> set[tuple[int, int]]:
        """The pixels that were written, all of them as they shall be."""
        found = set()
        for y in range(dc.HEIGHT):
            for x in range(dc.WIDTH):
                values = self.pixel(x, y, layer)
                if values != [FILL] * 4:
                    assert values == [x, y, INPUT[1], layer << 16 | TOPOLOGY]
                    found.add((x, y))
        return found

    @property
    def skipped(self) -> bool:
        """The draw had no effect, and is counted with what has none."""
        counters = self.host.counters
        assert (counters.executed[NAME], counters.skipped[NAME]) in [(1, 0), (0, 1)]
        return bool(counters.skipped[NAME])


def area(left: int, top: int, right: int, bottom: int) -> set[tuple[int, int]]:
    return {(x, y) for x in range(left, right) for y in range(top, bottom)}
