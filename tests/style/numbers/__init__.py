"""Numbers of modules, told once more for `test_numbers.py`; `number_text.py` says how.

``NAME=value`` for each constant; what has no ``=`` goes on with the value before it.
"""

from __future__ import annotations

from tests.style.numbers import (
    gen9,
    gen9_eu,
    mediator,
    mmio_trap,
    scheduler,
    softgpu,
    softgpu_eu,
)

NUMBERS: dict[str, str] = {
    **gen9.NUMBERS,
    **gen9_eu.NUMBERS,
    **mediator.NUMBERS,
    **mmio_trap.NUMBERS,
    **scheduler.NUMBERS,
    **softgpu.NUMBERS,
    **softgpu_eu.NUMBERS,
}
