"""The base addresses that an EU thread's messages are relative to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bases:
    """GPU addresses (48 bits) and sizes (bytes) of STATE_BASE_ADDRESS, and what a dispatch adds.

    ``binding_table`` and ``sampler_table`` are of the interface descriptor, with their bases.
    ``general_size`` bounds the stateless surface, ``bindless_size`` the bindless surface states.
    """

    surface: int = 0
    dynamic: int = 0
    general: int = 0
    general_size: int = 1 << 32
    bindless: int = 0
    bindless_size: int = 0
    instruction: int = 0
    binding_table: int = 0
    sampler_table: int = 0
