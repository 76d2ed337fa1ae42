"""Texels: their bits and what they mean. Twin of ``native/format.c``."""

from __future__ import annotations

import math
import struct
from typing import Final

from mediator.gen9.eu.formats import Channel, ChannelKind, Format
from mediator.softgpu.eu.messages.memory import Memory
from mediator.softgpu.eu.messages.message import DWORD

Texel = tuple[int, int, int, int]
"""As registers hold it: floats (their bits) or integers, red first."""

NOTHING: Final[Texel] = (0, 0, 0, 0)
FLOAT_ONE: Final = 0x3F80_0000
_PIECE = 8
_SMALL_BIAS = 15
_SMALL_EXPONENT = 31
_MAGNITUDE = 0x7FFF_FFFF
_INFINITY = 0x7F80_0000
_ALPHA = 3


def float_bits(value: float) -> int:
    """The bits of the 32-bit float that is nearest to ``value``."""
    bits: int = struct.unpack("<I", struct.pack("<f", value))[0]
    return bits


def as_float(bits: int) -> float:
    """The value of a 32-bit float's bits."""
    value: float = struct.unpack("<f", struct.pack("<I", bits))[0]
    return value


def load_texel(memory: Memory, format_: Format, address: int) -> Texel:
    """The texel at a GPU address."""
    raw = _load_raw(memory, format_, address)
    red, green, blue, alpha = (_decode(format_, n, raw) for n in range(4))
    return red, green, blue, alpha


def store_texel(memory: Memory, format_: Format, address: int, enabled: int, texel: Texel) -> None:
    """Write the channels of ``enabled``.

    Channels of L and I formats lie in one place: the first that is enabled goes there.
    """
    kinds = [each.kind for each in format_.channels]
    if ChannelKind.SHARED_EXPONENT in kinds:
        return
    present = sum(1 << n for n in range(4) if kinds[n] is not ChannelKind.ABSENT)
    if not present & enabled:
        return  # not even what was there, which others may be writing
    raw = _load_raw(memory, format_, address) if present & ~enabled else 0
    for n in reversed(range(4)):
        if not present & enabled & 1 << n:
            continue
        channel = format_.channels[n]
        mask = (1 << channel.bits) - 1
        value = _encode(format_, n, texel[n]) & mask
        raw = raw & ~(mask << channel.shift) | value << channel.shift
    for done in range(0, format_.size, _PIECE):
        count = min(_PIECE, format_.size - done)
        memory.store(address + done, count, raw >> 8 * done)


def narrow_float(bits: int, mantissa: int, *, signed: bool) -> int:
    """A float of five bits of exponent from a 32-bit one, to the nearest, halves to even."""
    magnitude = bits & _MAGNITUDE
    sign = bits >> 31
    infinity = _SMALL_EXPONENT << mantissa
    exponent = (magnitude >> 23) - 127 + _SMALL_BIAS
    shift = 23 - mantissa
    if magnitude > _INFINITY:
        found = infinity | 1 << (mantissa - 1)
    elif sign and not signed:
        return 0
    elif exponent >= _SMALL_EXPONENT:
        found = infinity
    elif exponent > 0:
        found = (exponent << mantissa) + _round_shift(magnitude & 0x7F_FFFF, shift)
    elif shift + 1 - exponent < 32 and magnitude >> 23:
        found = _round_shift(magnitude & 0x7F_FFFF | 0x80_0000, shift + 1 - exponent)
    else:
        found = 0
    return found | sign << (5 + mantissa) if signed else found


def widen_float(bits: int, mantissa: int, *, signed: bool) -> int:
    """The way back."""
    sign = bits >> (5 + mantissa) & 1 if signed else 0
    exponent = bits >> mantissa & _SMALL_EXPONENT
    fraction = bits & ((1 << mantissa) - 1)
    if exponent == _SMALL_EXPONENT:
        found = _INFINITY | fraction << (23 - mantissa)
    elif exponent:
        found = (exponent + 127 - _SMALL_BIAS) << 23 | fraction << (23 - mantissa)
    else:
        found = float_bits(math.ldexp(fraction, 1 - _SMALL_BIAS - mantissa))
    return found | sign << 31


def _round_shift(value: int, shift: int) -> int:
    kept, rest, half = value >> shift, value & ((1 << shift) - 1), 1 << (shift - 1)
    return kept + (rest > half or (rest == half and kept & 1))


def _load_raw(memory: Memory, format_: Format, address: int) -> int:
    raw = 0
    for done in range(0, format_.size, _PIECE):
        count = min(_PIECE, format_.size - done)
        raw |= memory.load(address + done, count) << 8 * done
    return raw


def _decode(format_: Format, number: int, raw: int) -> int:
    channel = format_.channels[number]
    most = (1 << channel.bits) - 1
    value = raw >> channel.shift & most
    match channel.kind:
        case ChannelKind.UNORM:
            found = value / most
            return float_bits(_from_srgb(found) if format_.srgb and number < _ALPHA else found)
        case ChannelKind.SNORM:
            return float_bits(max(-1.0, _signed(value, channel) / (most >> 1)))
        case ChannelKind.UINT:
            return value
        case ChannelKind.SINT:
            return _signed(value, channel) & DWORD
        case ChannelKind.FLOAT:
            if channel.bits == 32:
                return value
            half = channel.bits == 16
            return widen_float(value, 10 if half else channel.bits - 5, signed=half)
        case ChannelKind.USCALED:
            return float_bits(value)
        case ChannelKind.SSCALED:
            return float_bits(_signed(value, channel))
        case ChannelKind.SHARED_EXPONENT:
            return float_bits(math.ldexp(value, (raw >> 27) - _SMALL_BIAS - 9))
        case ChannelKind.ABSENT:
            return 0 if number < _ALPHA else 1 if format_.integer else FLOAT_ONE


def _encode(format_: Format, number: int, bits: int) -> int:
    """What is stored for a register's ``bits``, of which the channel's low ones count."""
    channel = format_.channels[number]
    most = (1 << channel.bits) - 1
    half = most >> 1
    value = as_float(bits)
    if math.isnan(value):
        value = 0.0
    match channel.kind:
        case ChannelKind.UNORM:
            value = min(max(value, 0.0), 1.0)
            return round((_to_srgb(value) if format_.srgb and number < _ALPHA else value) * most)
        case ChannelKind.SNORM:
            return round(min(max(value, -1.0), 1.0) * half)
        case ChannelKind.UINT:
            return min(bits, most)
        case ChannelKind.SINT:
            return min(max(bits - (bits >> 31 << 32), -half - 1), half)
        case ChannelKind.USCALED:
            return round(min(max(value, 0.0), float(most)))
        case ChannelKind.SSCALED:
            return round(min(max(value, -half - 1.0), float(half)))
        case _:
            if channel.bits == 32:
                return bits
            wide = channel.bits == 16
            return narrow_float(bits, 10 if wide else channel.bits - 5, signed=wide)


def _signed(value: int, channel: Channel) -> int:
    sign = 1 << (channel.bits - 1)
    return (value ^ sign) - sign


def _from_srgb(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else math.pow((value + 0.055) / 1.055, 2.4)


def _to_srgb(value: float) -> float:
    return value * 12.92 if value <= 0.0031308 else 1.055 * math.pow(value, 1 / 2.4) - 0.055
