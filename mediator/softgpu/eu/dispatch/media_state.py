"""The media pipeline's state as programs of the execution units see it, decoded from commands.

Source: PRM SKL vol 2a STATE_BASE_ADDRESS, MEDIA_VFE_STATE; vol 2d INTERFACE_DESCRIPTOR_DATA. What
is decoded is remembered by content, since the same state comes with most walkers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Final

from mediator.gen9.eu import media
from mediator.gen9.eu.media import BasePlace

_KNOWN: Final = 256
_DESCRIPTOR: Final = Struct("<8I")
_ADDRESS_MASK: Final = (1 << 48) - 1
_NO_LIMIT: Final = 1 << 48
_GRF: Final = 32


class BadState(ValueError):
    """State with which hardware starts no thread: the context hangs."""


@dataclass(frozen=True, slots=True)
class Base:
    """A base address: 48-bit GPU address, and how many bytes from there on may be reached."""

    address: int
    size: int


@dataclass(frozen=True, slots=True)
class Bases:
    """What STATE_BASE_ADDRESS has set."""

    general: Base
    surface: Base
    dynamic: Base
    indirect: Base
    instruction: Base
    bindless: Base


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """What MEDIA_VFE_STATE has set."""

    scratch_base: int
    """Bytes from the General State base on."""
    scratch_bytes: int
    """For each thread."""
    scratch_code: int
    threads: int
    """The most that run at a time."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An interface descriptor. Tables are bytes from their base on, lengths are in GRFs."""

    kernel: int
    """First instruction, in bytes from the Instruction base on."""
    alternate_float: bool
    single_program_flow: bool
    keeps_denormals: bool
    """Denormals are treated as cr0 says, rather than flushed."""
    rounding: int
    samplers: int
    binding_table: int
    constant_offset: int
    own_length: int
    shared_length: int
    threads: int
    slm_bytes: int
    barrier: bool


@lru_cache(_KNOWN)
def bases(command: tuple[int, ...]) -> Bases:
    """The bases in the dwords of a STATE_BASE_ADDRESS that sets all of them."""
    return Bases(*(_base(command, place) for place in media.BASE_PLACES))


def _base(command: Sequence[int], place: BasePlace) -> Base:
    address = (command[place.base] | command[place.base + 1] << 32) & media.BASE_ADDRESS.mask
    if place.size is None:
        return Base(address, _NO_LIMIT)
    pages = media.BASE_PAGES.get(command[place.size])
    if place is media.BINDLESS_SURFACE_STATE:
        return Base(address, (pages + 1) * 64)
    return Base(address, pages << 12)


@lru_cache(_KNOWN)
def front_end(command: tuple[int, ...]) -> FrontEnd:
    """What the dwords of a MEDIA_VFE_STATE say."""
    code = media.SCRATCH_SIZE.get(command[1])
    return FrontEnd(
        scratch_base=(command[1] | command[2] << 32) & media.SCRATCH_BASE.mask,
        scratch_bytes=media.SCRATCH_UNIT << code,
        scratch_code=code,
        threads=media.MAXIMUM_THREADS.get(command[3]) + 1,
    )


@lru_cache(_KNOWN)
def descriptor(data: bytes) -> Descriptor:
    """The descriptor in 32 bytes. Raises BadState for a reserved SLM size."""
    words = _DESCRIPTOR.unpack(data)
    slm = media.SLM_SIZE.get(words[6])
    if slm >= len(media.SLM_BYTES):
        raise BadState(f"interface descriptor: SLM size code {slm} is reserved")
    return Descriptor(
        kernel=(words[0] | words[1] << 32) & media.KERNEL_START.mask,
        alternate_float=bool(media.FLOAT_MODE.get(words[2])),
        single_program_flow=bool(media.SINGLE_PROGRAM_FLOW.get(words[2])),
        keeps_denormals=bool(media.DENORMALS.get(words[2])),
        rounding=media.ROUNDING.get(words[6]),
        samplers=words[3] & media.SAMPLERS.mask,
        binding_table=words[4] & media.BINDING_TABLE.mask,
        constant_offset=media.CONSTANT_OFFSET.get(words[5]) * _GRF,
        own_length=media.CONSTANT_LENGTH.get(words[5]),
        shared_length=media.CROSS_LENGTH.get(words[7]),
        threads=media.GROUP_THREADS.get(words[6]),
        slm_bytes=media.SLM_BYTES[slm],
        barrier=bool(media.BARRIER.get(words[6])),
    )


def wrap(address: int) -> int:
    """``address`` as the 48 bits that are translated."""
    return address & _ADDRESS_MASK
