"""Architecture registers of the execution units: their numbers and what a program may name.

Source: PRM SKL vol 7 "ARF Registers".
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

NULL: Final = 0x00
ADDRESS: Final = 0x10
ACCUMULATOR: Final = 0x20
"""acc0, acc1; acc2 to acc9 are the macro accumulators mme0 to mme7."""
ACCUMULATORS: Final = 10
MACRO_ACCUMULATOR: Final = ACCUMULATOR + 2
MACRO_ACCUMULATORS: Final = 8
NO_MACRO_ACCUMULATOR: Final = 8
"""As the number of a macro accumulator: none."""
FLAG: Final = 0x30
FLAGS: Final = 2
CHANNEL_ENABLE: Final = 0x40
STACK_POINTER: Final = 0x60
STATE: Final = 0x70
CONTROL: Final = 0x80
NOTIFICATION: Final = 0x90
INSTRUCTION_POINTER: Final = 0xA0
TIMESTAMP: Final = 0xC0

REGISTERS: Final = MappingProxyType(
    {
        NULL: "null",
        ADDRESS: "a0",
        **{ACCUMULATOR + n: f"acc{n}" for n in range(2)},
        **{MACRO_ACCUMULATOR + n: f"mme{n}" for n in range(MACRO_ACCUMULATORS)},
        **{FLAG + n: f"f{n}" for n in range(FLAGS)},
        CHANNEL_ENABLE: "ce",
        STACK_POINTER: "sp",
        STATE: "sr0",
        STATE + 1: "sr1",
        CONTROL: "cr0",
        NOTIFICATION: "n0",
        INSTRUCTION_POINTER: "ip",
        TIMESTAMP: "tm0",
    }
)
"""By number. Message control, flow control, dependency and debug registers serve system routines
and are not here."""
