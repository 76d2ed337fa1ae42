"""Run a launch of the corpus with the interpreter, group after group."""

from __future__ import annotations

import numpy as np

from mediator.softgpu.eu.interpreter.interpreter import Interpreter, Kernel, State
from mediator.softgpu.eu.interpreter.threads import Threads
from mediator.softgpu.eu.isa.program import Program
from tests.eu_corpus.launch import INSTRUCTION, FlatMemory, Launch
from tests.unit.mediator.eu_flat_messages import FlatMessages


def interpret(launch: Launch) -> int:
    """Run all groups; gives how many instructions were executed."""
    memory = FlatMemory(launch.segments)
    messages = FlatMessages(
        memory.read,
        memory.write,
        launch.bases["surface"] + launch.binding_table,
        launch.bases["surface"],
        launch.bases["general"],
    )
    entry = launch.kernel_start - INSTRUCTION
    program = Program(
        lambda at, count: memory.read(INSTRUCTION + at, count),
        entry,
        entry + len(launch.binary.isa),
    )
    kernel = Kernel(program.at)
    executed = 0
    for group in launch.all_groups():
        threads = Threads(launch.threads)
        for thread in range(launch.threads):
            registers = np.frombuffer(launch.registers(group, thread, thread), np.uint8)
            threads.bytes[thread, : len(registers)] = registers
            threads.blocks["dispatch_mask"][thread] = launch.dispatch_mask(thread)
        messages.slm = bytearray(65536)
        interpreter = Interpreter(kernel, threads, messages)
        state = interpreter.run(1 << 40)
        assert state is State.ENDED, interpreter.fault
        executed += interpreter.executed
    return executed
