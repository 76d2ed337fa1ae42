"""Groups of a job in the interpreter: what they find beside their payload."""

from __future__ import annotations

import numpy as np

from mediator.gen9.eu import registers
from mediator.gen9.eu.types import Type
from mediator.hotpath.interface import never
from mediator.softgpu.eu.dispatch.interpreted import InterpretedProgram
from mediator.softgpu.eu.dispatch.running import GroupEnd
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import arf, grf
from tests.unit.mediator.command_bench import make_bench
from tests.unit.mediator.eu.job_bench import make_job


def test_the_timestamp_register_goes_on() -> None:
    """Programs that measure themselves by it see time pass."""
    asm = Assembler()
    for register in (20, 21):
        asm.mov(grf(register, Type.UD), arf(registers.TIMESTAMP, Type.UD).by(2, 2, 1), width=2)
    asm.end()
    bench = make_bench()
    group = InterpretedProgram(Program.of(asm.code()).at).begin(
        make_job(), (0, 0, 0), bench.host.ppgtt
    )
    with bench.memory.using():
        assert group.run(bench.host.ppgtt, never) is GroupEnd.ENDED
    found = group._interpreter.threads.blocks["grf"][0]
    first, second = (
        int(found[32 * register : 32 * register + 8].view(np.uint64)[0]) for register in (20, 21)
    )
    assert 0 < first < second
